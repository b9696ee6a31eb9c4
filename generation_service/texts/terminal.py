"""Texts about terminal."""

TEXTS: dict[str, dict[str, str]] = {}
