"""The built-in teacher: an OpenAI-compatible server that reasons about the builtin tasks, with faults on request."""
