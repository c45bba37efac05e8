"""Checks of the systems that are built on lineage, methods and operations: `python -m bench.systems NAME [--break]`.

Each prints its figures, thresholds, seeds and a verdict, and ends with 1 if a gate fails. `--break` plants the failure that the
gates are there for: then it must end with 1.
"""
