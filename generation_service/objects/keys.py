"""The keys of objects: made of ids and digests only, so no name that a person gave can lead anywhere."""

from hashlib import sha256


def source_key(project_id: str, document_id: str) -> str:
    """Where a document's bytes are, as they were uploaded."""
    return f"{_document(project_id, document_id)}/source"


def artefact_key(project_id: str, document_id: str, job_id: str, fence: int) -> str:
    """Where one run leaves the text it has read; the fence keeps a run that was overtaken from the one that counts."""
    return f"{_document(project_id, document_id)}/preprocessed-{job_id}-{fence}.json"


def _document(project_id: str, document_id: str) -> str:
    return f"projects/{sha256(project_id.encode()).hexdigest()[:32]}/documents/{document_id}"
