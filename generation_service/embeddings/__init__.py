"""Embeddings behind one port: texts in, vectors out."""

from generation_service.embeddings.model import Embedder, Spend, Vector
from generation_service.embeddings.opening import open_embedder

__all__ = ["Embedder", "Spend", "Vector", "open_embedder"]
