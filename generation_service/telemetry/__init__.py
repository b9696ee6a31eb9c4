"""Log lines and metrics: what subscribes to what happens."""
