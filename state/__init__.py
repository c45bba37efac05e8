"""What is remembered: the tables of `state.db`, every query, and its migrations.

This room imports nothing of the other three. Everything that is true for longer than a second is
here, and `state.db` is the only interface between the daemon and whatever watches it.
"""
