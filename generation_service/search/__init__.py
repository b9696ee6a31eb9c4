"""External search behind one port."""
