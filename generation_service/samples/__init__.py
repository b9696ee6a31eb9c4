"""The sample projects that ship with the service: a request and its documents, in Korean and in English."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation_service.texts import Language

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDocument:
    """A file of a sample, and the name it is uploaded under."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A small project; `request` is the body for POST /api/generation."""

    language: Language
    project_id: str
    request: dict[str, Any]
    documents: tuple[SampleDocument, ...]


def load(language: Language) -> Sample:
    """The sample in `language`."""
    folder = _FOLDER / language
    told = json.loads((folder / "project.json").read_text(encoding="utf-8"))
    return Sample(
        language=language,
        project_id=told["project_id"],
        request={name: told[name] for name in ("project_id", "recipe", "episode_data")},
        documents=tuple(SampleDocument(path=folder / one["file"], name=one["name"]) for one in told["documents"]),
    )
