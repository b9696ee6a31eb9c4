"""Bytes of a backup that no row of it names: they were stored after the rows were dumped."""

import re
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, select

from generation_service.database.tables import doomed_objects
from generation_service.documents.doomed import UNCLAIMED_SECONDS, doom
from generation_service.objects.keys import document_prefix
from scripts.backup_figures import named_objects

# Nothing else is deleted, whatever an archive holds.
_OF_A_DOCUMENT = re.compile(r"(projects|programs)/[^/]+/documents/[^/]+/[^/]+")


def doom_unowned(connection: Connection, keys: Iterable[str]) -> int:
    """Have the objects of documents that are not there deleted in a day, as after an upload that was cut off; how many.

    What is deleted anyway keeps its time.
    """
    owned = {document_prefix(key) for key in named_objects(connection)}
    owned.update(connection.execute(select(doomed_objects.c.prefix)).scalars())
    stored = {document_prefix(key) for key in keys if _OF_A_DOCUMENT.fullmatch(key)}
    unowned = sorted(prefix for prefix in stored if owned.isdisjoint(_with_parents(prefix)))
    for prefix in unowned:
        doom(connection, prefix, UNCLAIMED_SECONDS)
    return len(unowned)


def _with_parents(prefix: str) -> Iterator[str]:
    while prefix:
        yield prefix
        prefix = prefix.rpartition("/")[0]
