"""Wakes the readers of event logs: over Redis, over PostgreSQL's NOTIFY, or within this process."""
