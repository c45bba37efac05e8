"""The configuration in force, and its rows in `state.db`."""
