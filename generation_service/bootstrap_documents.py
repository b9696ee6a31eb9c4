"""Builds what documents are read and found with; a part of the composition root."""

from dataclasses import dataclass

from generation_service.database import Database
from generation_service.documents import Ingester, Parser, Reading
from generation_service.objects import ObjectStore
from generation_service.retrieval import Indexer, Retriever
from generation_service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Library:
    """What documents are kept in, read and found with; one of each a process."""

    objects: ObjectStore
    reading: Reading
    ingester: Ingester
    indexer: Indexer
    retriever: Retriever


def build_library(settings: Settings, database: Database) -> Library:
    """Build the parts; nothing is started."""
    objects = ObjectStore.open(settings.storage_url, endpoint_url=settings.s3_endpoint_url)
    indexer = Indexer()
    reading = Reading(objects, Parser.of(settings), indexer)
    return Library(
        objects=objects,
        reading=reading,
        ingester=Ingester(database, reading),
        indexer=indexer,
        retriever=Retriever(database),
    )
