"""Texts about problems."""

TEXTS: dict[str, dict[str, str]] = {}
