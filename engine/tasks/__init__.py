"""A question and its gold answer: the builtin tasks with their solvers, and tasks from files."""
