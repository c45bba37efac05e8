"""The database: tables of `state.db`, every query, and migrations.

This package imports nothing from `engine`, `daemon` or `tui`. All SQL is here, and `state.db` is the only
interface between the daemon and whatever watches it.
"""
