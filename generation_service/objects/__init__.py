"""Object storage: bytes under keys, streamed in and out."""

from generation_service.objects.keys import artefact_key, document_prefix, program_source_key, source_key
from generation_service.objects.store import ObjectMissing, ObjectStore, Stored
from generation_service.objects.streams import ObjectTooLarge

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
