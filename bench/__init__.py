"""Benchmarks: each measures Coterie and a reference in the same run.

Wall-clock figures on a shared machine say little; a ratio to a reference that runs right beside says more. So each bench
runs the real daemon as a process and, where possible, a minimal program that does the same work. `python -m bench` writes
`bench/RESULTS.md`; each bench also runs alone, for example `python -m bench.sampling`.
"""
