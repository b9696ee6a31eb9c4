"""Documents: accepted as bytes, read in a child process, split, and put in the index."""

from generation_service.documents.accepting import UPLOAD_ROUTE, Accepted
from generation_service.documents.doomed import ObjectSweeper
from generation_service.documents.ingesting import Ingester, IngestReport
from generation_service.documents.kind import DocumentKind
from generation_service.documents.model import Document, FileType
from generation_service.documents.parsing import Parser
from generation_service.documents.reading import Reading
from generation_service.documents.removal import Removed
from generation_service.documents.service import Documents, DocumentState, failure_text, state_of

__all__ = [
    "UPLOAD_ROUTE",
    "Accepted",
    "Document",
    "DocumentKind",
    "DocumentState",
    "Documents",
    "FileType",
    "IngestReport",
    "Ingester",
    "ObjectSweeper",
    "Parser",
    "Reading",
    "Removed",
    "failure_text",
    "state_of",
]
