"""When it is done: claims, limits, triggers, processes, life cycle, command line."""
