"""The child process that reads one document; it stands alone, so that it starts fast and can be killed without regret.

Nothing here imports the rest of the service, and nothing but `documents.parsing` knows how to call it.
"""
