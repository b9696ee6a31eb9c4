"""Texts about jobs."""

TEXTS: dict[str, dict[str, str]] = {}
