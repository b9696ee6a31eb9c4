"""Retrieval: an index of chunks in the service's own database, with one ranking for both databases."""

from generation_service.embeddings import Spend
from generation_service.retrieval.chunks import (
    add_chunks,
    add_prepared,
    chunks_of,
    prepare_chunks,
    project_chunks,
    remove_chunks,
    source_kinds,
)
from generation_service.retrieval.finding import find_passages
from generation_service.retrieval.highlighting import highlights
from generation_service.retrieval.indexing import Indexer, Prepared
from generation_service.retrieval.model import NewChunk, Passage, SourceKind
from generation_service.retrieval.reindexing import REINDEX, ReindexKind, request_reindex
from generation_service.retrieval.retriever import Retriever

__all__ = [
    "REINDEX",
    "Indexer",
    "NewChunk",
    "Passage",
    "Prepared",
    "ReindexKind",
    "Retriever",
    "SourceKind",
    "Spend",
    "add_chunks",
    "add_prepared",
    "chunks_of",
    "find_passages",
    "highlights",
    "prepare_chunks",
    "project_chunks",
    "remove_chunks",
    "request_reindex",
    "source_kinds",
]
