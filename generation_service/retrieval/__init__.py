"""Retrieval: an index of chunks in the service's own database, with one ranking for both databases."""

from generation_service.retrieval.chunks import (
    add_chunks,
    add_prepared,
    chunks_of,
    prepare_chunks,
    project_chunks,
    remove_chunks,
)
from generation_service.retrieval.finding import find_passages
from generation_service.retrieval.indexing import Indexer, Prepared, Spend
from generation_service.retrieval.model import NewChunk, Passage, SourceKind
from generation_service.retrieval.retriever import Retriever

__all__ = [
    "Indexer",
    "NewChunk",
    "Passage",
    "Prepared",
    "Retriever",
    "SourceKind",
    "Spend",
    "add_chunks",
    "add_prepared",
    "chunks_of",
    "find_passages",
    "prepare_chunks",
    "project_chunks",
    "remove_chunks",
]
