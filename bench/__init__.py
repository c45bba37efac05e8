"""Measures what the design promises, each time against a reference in the same run.

A wall-clock figure of a shared machine says little, a ratio to a bare loop beside it says much. So every bench
runs the real daemon as a process and, where it can, the least program that does the same work. `bench/RESULTS.md`
is written by `python -m bench`; each bench also runs alone, as `python -m bench.sampling`.
"""
