"""Texts about documents."""

TEXTS: dict[str, dict[str, str]] = {}
