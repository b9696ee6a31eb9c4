"""The keys of objects: made of ids and digests only, so no name that a person gave can lead anywhere."""

from hashlib import sha256


def source_key(project_id: str, document_id: str) -> str:
    """Where a document's bytes are, as they were uploaded."""
    return f"{_document(project_id, document_id)}/source"


def program_source_key(program_id: str, document_id: str) -> str:
    """Where the bytes of a program's file are; its project need not be known while they arrive."""
    return f"programs/{program_id}/documents/{document_id}/source"


def document_prefix(object_key: str) -> str:
    """The folder that holds all objects of the document whose source is under `object_key`, and nothing else."""
    return object_key.rpartition("/")[0]


def artefact_key(object_key: str, job_id: str, fence: int) -> str:
    """Where one run leaves the text it has read of the source under `object_key`.

    The fence keeps a run that was overtaken from the one that counts.
    """
    return f"{document_prefix(object_key)}/preprocessed-{job_id}-{fence}.json"


def _document(project_id: str, document_id: str) -> str:
    return f"projects/{sha256(project_id.encode()).hexdigest()[:32]}/documents/{document_id}"
