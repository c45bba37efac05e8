"""What the daemon tells others about itself: heartbeat, log, metrics, search index."""
