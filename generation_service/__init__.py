"""Long, document-grounded generation jobs that survive anything and can change where they run."""

__version__ = "0.1.0"
