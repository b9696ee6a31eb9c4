"""Reading: from a document's bytes in the object store to its pieces, and from pieces to rows of the index."""

import asyncio

from generation_service.documents.artefact import Artefact, artefact_of, chunks_of_artefact
from generation_service.documents.model import Document
from generation_service.documents.parsing import Parser
from generation_service.documents.workroom import remove_abandoned, workroom
from generation_service.objects import ObjectStore
from generation_service.retrieval import Indexer, Prepared, Spend


class Reading:
    """Reads documents; one for each process, so that the bound on children at once holds for all of it."""

    def __init__(self, objects: ObjectStore, parser: Parser, indexer: Indexer) -> None:
        self.objects = objects
        self._parser = parser
        self._indexer = indexer

    async def read(self, document: Document) -> Artefact:
        """Download, parse and split one document.

        Raises PermanentError with the document's code, TransientError where the store or the child failed.
        """
        await asyncio.to_thread(remove_abandoned)
        with workroom() as folder:
            path = folder / "source"
            await self.objects.download(document.object_key, path)
            parsed = await self._parser.parse(path, document.file_type, use_multimodal=document.use_multimodal)
        return await asyncio.to_thread(artefact_of, document, parsed)

    async def prepare(self, artefact: Artefact, document: Document, spend: Spend) -> Prepared:
        """What goes into the index of what was read. Raises TransientError where an embedding model does not answer."""
        return await self._indexer.prepare(chunks_of_artefact(artefact, document), spend)
