"""Object storage: local files or S3, by key."""
