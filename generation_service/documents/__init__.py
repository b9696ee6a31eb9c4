"""Documents: accepted as bytes, read in a child process, split, and put in the index."""

from generation_service.documents.ingesting import Ingester, IngestReport
from generation_service.documents.kind import DocumentKind
from generation_service.documents.model import Document, FileType
from generation_service.documents.parsing import Parser
from generation_service.documents.reading import Reading
from generation_service.documents.service import UPLOAD_ROUTE, Accepted, Documents, DocumentState, state_of

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
    "Parser",
    "Reading",
    "state_of",
]
