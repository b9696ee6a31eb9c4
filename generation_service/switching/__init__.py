"""Which backend new jobs get, who said so, and what follows from it."""
