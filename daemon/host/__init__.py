"""The daemon's machine: clock, processes, lock, notifications, and the built-in teacher."""
