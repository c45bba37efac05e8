"""What is done: each step of the method as a plain function or small class that does not know when it runs.

In reading order: `tasks`, `strategies`, `teachers`, `grading`, `curation`, `students`, `report`. Beside
them stand `config` (`config.toml`) and `practice` (the built-in teacher server).
"""
