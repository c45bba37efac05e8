"""Checks of the related systems, each with its planted failure: `python -m bench.systems NAME … [--break]`."""
