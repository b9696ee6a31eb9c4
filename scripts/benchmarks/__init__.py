"""What `python -m scripts.benchmark` measures: one module a row, and the ground that rows stand on."""
