"""Reading: from a document's bytes in the object store to its pieces, and from pieces to rows of the index."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from generation_service.documents.artefact import Artefact, artefact_of, chunks_of_artefact
from generation_service.documents.model import Document
from generation_service.documents.parsing import Parser
from generation_service.objects import ObjectStore
from generation_service.retrieval import prepare_chunks


class Reading:
    """Reads documents; one for each process, so that the bound on children at once holds for all of it."""

    def __init__(self, objects: ObjectStore, parser: Parser) -> None:
        self.objects = objects
        self._parser = parser

    async def read(self, document: Document) -> Artefact:
        """Download, parse and split one document.

        Raises PermanentError with the document's code, TransientError where the store or the child failed.
        """
        with TemporaryDirectory(prefix="document-") as folder:
            path = Path(folder) / "source"
            await self.objects.download(document.object_key, path)
            parsed = await self._parser.parse(path, document.file_type)
        return await asyncio.to_thread(artefact_of, document, parsed)

    async def rows(self, artefact: Artefact, document: Document) -> Sequence[Mapping[str, object]]:
        """The rows of the index for what was read; made on a thread, as tokens take their time."""
        return await asyncio.to_thread(prepare_chunks, chunks_of_artefact(artefact, document))
