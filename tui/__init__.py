"""What is seen: a terminal monitor that reads `state.db` and writes nothing but `command` rows."""
