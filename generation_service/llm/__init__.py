"""Language models behind one port: the offline drafter and any OpenAI-compatible server."""

from generation_service.llm.model import (
    Form,
    LanguageModel,
    Material,
    Message,
    ModelCall,
    Reply,
    Source,
    SourceKind,
    Task,
    bounded,
    estimated_tokens,
)
from generation_service.llm.opening import open_model

__all__ = [
    "Form",
    "LanguageModel",
    "Material",
    "Message",
    "ModelCall",
    "Reply",
    "Source",
    "SourceKind",
    "Task",
    "bounded",
    "estimated_tokens",
    "open_model",
]
