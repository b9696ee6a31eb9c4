"""Programs: batches of files, each read by a job of its own, with partial failure and retry."""
