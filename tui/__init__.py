"""The terminal monitor. It reads `state.db` and writes only rows of the `command` table."""
