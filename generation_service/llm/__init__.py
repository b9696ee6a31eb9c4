"""Language models behind one port: the offline drafter and any OpenAI-compatible server."""
