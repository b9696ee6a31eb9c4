"""Documents: accepted, stored, read in a child process, split, indexed."""
