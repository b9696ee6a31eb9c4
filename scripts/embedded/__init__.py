"""Servers that development and the tests bring along: a real Redis and a real PostgreSQL, nobody else's touched."""
