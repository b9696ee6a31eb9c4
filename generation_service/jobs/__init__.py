"""The core: accepts jobs, runs each once, commits each step, and loses nothing; knows no web, no Redis, no recipe."""
