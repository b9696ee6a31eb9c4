"""Object storage: bytes under keys, streamed in and out."""

from generation_service.objects.keys import artefact_key, document_prefix, program_source_key, source_key
from generation_service.objects.store import ObjectMissing, ObjectStore, ObjectTooLarge, Stored

__all__ = [
    "ObjectMissing",
    "ObjectStore",
    "ObjectTooLarge",
    "Stored",
    "artefact_key",
    "document_prefix",
    "program_source_key",
    "source_key",
]
