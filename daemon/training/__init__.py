"""Student runs: when one is due, what it reads, where it runs, and how its process is followed."""
