"""What is indexed and what is found: chunks on the way in, passages on the way out."""

from dataclasses import dataclass
from typing import Literal

SourceKind = Literal["document", "job"]
"""Where a chunk comes from: a document, or a job (what a generation has learned)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChunk:
    """One piece of text to be indexed.

    `id` is derived from the content's origin (at most 64 characters), so that indexing again changes nothing.
    `label` is what a citation shows; `ordinal` counts from 0 within the source; `page` from 1.
    """

    id: str
    project_id: str
    source_kind: SourceKind
    source_id: str
    label: str
    ordinal: int
    text: str
    heading: str | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One chunk as it was found; `score` compares it with others of the same answer, 0.0 where nothing was asked."""

    chunk_id: str
    source_kind: SourceKind
    source_id: str
    label: str
    heading: str | None
    page: int | None
    text: str
    score: float
