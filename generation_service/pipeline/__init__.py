"""The eight steps of a generation and the recipes that fill them."""
