"""Recipes: one small file for each thing that can be generated."""
