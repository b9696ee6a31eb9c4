"""The whole service on one machine, for development: Redis, API, worker and scheduler under one Ctrl+C."""
