"""What the daemon needs of its machine: clock, processes, lock, notifications, open files, the built-in teacher."""
