"""Reads a PPTX slide by slide: its title, what its shapes and tables say, and the speaker's notes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pptx

from generation_service.reader import archive
from generation_service.reader.blocks import Found, Gathering, Unreadable, row_of, some
from generation_service.reader.limits import Limits


def read(path: Path, limits: Limits) -> Found:
    """The text of each slide under its title; the slide's number is the page. Raises Unreadable."""
    archive.check(path)
    slides = pptx.Presentation(str(path)).slides
    if len(slides) > limits.max_pages:
        raise Unreadable("too_large")
    gathering = Gathering(limits.max_characters)
    for number, slide in enumerate(slides, start=1):
        title = slide.shapes.title
        heading = " ".join(title.text_frame.text.split()) if title is not None else ""
        texts = [text for text in _texts(slide, title) if text.strip()]
        for text in texts or [heading]:  # a title with nothing below it stays as text
            gathering.add(text, heading if texts else None, number)
    return Found(some(gathering), len(slides))


def _texts(slide: Any, title: Any) -> Iterator[str]:
    for shape in _shapes(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if shape.has_text_frame:
            yield shape.text_frame.text
        elif getattr(shape, "has_table", False):
            yield "\n".join(row_of([cell.text for cell in row.cells]) for row in shape.table.rows)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield slide.notes_slide.notes_text_frame.text


def _shapes(shapes: Any) -> Iterator[Any]:
    """All shapes, those of groups too, in the order they were drawn."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        else:
            yield shape
