"""The formats of a result, and which recipe has which."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from generation_service.errors import Refused
from generation_service.jobs.model import Json
from generation_service.pipeline import recipes
from generation_service.pipeline.rendering.fountain import fountain
from generation_service.pipeline.rendering.word import docx
from generation_service.pipeline.shapes import Content


@dataclass(frozen=True, slots=True)
class Format:
    """How a result is written; `blocking` says that it belongs on a thread, off the event loop."""

    name: str
    media_type: str
    suffix: str
    write: Callable[[Content], bytes]
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file: its bytes, its media type, and a suffix for its name."""

    body: bytes
    media_type: str
    suffix: str


def _markdown(content: Content) -> bytes:
    return content.text.encode()


def _json(content: Content) -> bytes:
    return json.dumps(content.stored(), ensure_ascii=False, indent=2).encode()


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("markdown", "text/markdown; charset=utf-8", ".md", _markdown),
        Format("fountain", "text/x-fountain; charset=utf-8", ".fountain", fountain),
        Format(
            "docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ".docx",
            docx,
            blocking=True,
        ),
        Format("json", "application/json", ".json", _json),
    )
}


def render(content: Mapping[str, Json], name: str = "markdown") -> Rendered:
    """Write a result's content in the format called `name`. DOCX takes tenths of a second: call this on a thread.

    Raises Refused `not_acceptable` (406) for a format that does not exist, or that this recipe does not have.
    """
    taken = recipes.find(str(content.get("recipe"))).formats
    if name not in taken:
        raise Refused("not_acceptable", 406, params={"formats": ", ".join(taken)})
    one = FORMATS[name]
    return Rendered(one.write(Content.model_validate(content)), one.media_type, one.suffix)
