"""The artefact of preprocessing: what was read of a document, in pieces, as JSON in the object store."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from generation_service.documents.model import Document
from generation_service.documents.parsing import PARSER, Parsed, refusal
from generation_service.documents.splitting import CHUNKER, Piece, split
from generation_service.errors import PermanentError
from generation_service.retrieval import NewChunk

_MOST_PIECES = 20_000  # five times what the longest honest text makes: they are written in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """The pieces of one document and what is known of the whole; `parser` and `chunker` are versions."""

    document_id: str
    sha256: str
    pages: int | None
    characters: int
    language: str | None
    pieces: Sequence[Piece]
    parser: str = PARSER
    chunker: str = CHUNKER

    @property
    def findings(self) -> dict[str, Any]:
        """What the document's row says about it."""
        return {"pages": self.pages, "characters": self.characters, "language": self.language}


def artefact_of(document: Document, parsed: Parsed) -> Artefact:
    """Split what was read. Takes about a third of a second for a million characters.

    Raises PermanentError `too_large` where it falls into too many pieces.
    """
    pieces = split(parsed.blocks, most=_MOST_PIECES + 1)
    if len(pieces) > _MOST_PIECES:
        raise refusal("too_large")
    return Artefact(
        document_id=document.id,
        sha256=document.sha256,
        pages=parsed.pages,
        characters=parsed.characters,
        language=parsed.language,
        pieces=pieces,
    )


def dumped(artefact: Artefact) -> bytes:
    """The artefact as JSON."""
    return json.dumps(asdict(artefact), ensure_ascii=False).encode()


def loaded(content: bytes) -> Artefact:
    """The artefact that was dumped. Raises PermanentError `artefact_unreadable` for anything else."""
    try:
        fields = json.loads(content)
        pieces = [Piece(**piece) for piece in fields.pop("pieces")]
        return Artefact(**fields, pieces=pieces)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError("artefact_unreadable", "what was read of the document cannot be read back") from error


def chunks_of_artefact(artefact: Artefact, document: Document) -> Iterable[NewChunk]:
    """The chunks for the index; the same document, read and split by the same rules, has the same ids."""
    for piece in artefact.pieces:
        yield NewChunk(
            id=_chunk_id(artefact, piece.ordinal),
            project_id=document.project_id,
            source_kind="document",
            source_id=document.id,
            label=document.file_name,
            ordinal=piece.ordinal,
            heading=piece.heading,
            page=piece.page,
            text=piece.text,
        )


def _chunk_id(artefact: Artefact, ordinal: int) -> str:
    origin = (artefact.document_id, artefact.sha256, artefact.parser, artefact.chunker, str(ordinal))
    return hashlib.sha256("\n".join(origin).encode()).hexdigest()
