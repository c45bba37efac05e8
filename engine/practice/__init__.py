"""The built-in teacher: an OpenAI-compatible server that solves the builtin tasks, or replays recordings."""
