"""Reads HWP (5.0) and HWPX, the formats of Hangul Word Processor."""

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hwpforge

from generation_service.reader import archive
from generation_service.reader.blocks import Found, Outline, Unreadable, row_of
from generation_service.reader.limits import Limits

_MANIFEST = "META-INF/manifest.xml"
_LOCKED = re.compile(rb"<[\w:]*encryption-data\b")
# hwpforge has one code for whatever is wrong with an HWP; what it says tells more.
_CODES = ((re.compile("password|encrypted", re.IGNORECASE), "encrypted"), (re.compile("exceeds"), "archive_bomb"))


def read_hwp(path: Path, limits: Limits) -> Found:
    """The text of an HWP. Raises Unreadable."""
    try:
        document = hwpforge.convert_hwp5(path.read_bytes(), carry_layout_cache=False).document
    except hwpforge.HwpForgeError as error:
        code = next((code for said, code in _CODES if said.search(error.message)), "unreadable")
        raise Unreadable(code) from error
    return _found(document, limits)


def read_hwpx(path: Path, limits: Limits) -> Found:
    """The text of an HWPX. Raises Unreadable."""
    archive.check(path)
    with zipfile.ZipFile(path) as opened:
        if _MANIFEST in opened.namelist() and _LOCKED.search(opened.read(_MANIFEST)):
            raise Unreadable("encrypted")
    return _found(hwpforge.Document.from_bytes(path.read_bytes()), limits)


def _found(document: hwpforge.Document, limits: Limits) -> Found:
    levels = {
        (heading["at"]["section"], heading["at"]["para"]): heading["level"]
        for heading in document.outline()["outline"]["headings"]
    }
    outline = Outline(limits.max_characters)
    for number, section in enumerate(_sections(document)):
        for index, paragraph in enumerate(section["paragraphs"]):
            text = _text(paragraph)
            level = levels.get((number, index))
            if level is None or not text.strip():
                outline.add(text)
            else:
                outline.enter(level, text)
    return Found(outline.finish())


def _sections(document: hwpforge.Document) -> Sequence[Any]:
    sections: Sequence[Any] = document.to_json(styles=False).report["document"]["document"]["sections"]
    return sections


def _text(paragraph: Any) -> str:
    return "".join(piece for run in paragraph["runs"] for piece in _pieces(run["content"]))


def _pieces(content: Any) -> Iterator[str]:
    """What a run says: its text, or what stands in the tables, notes and boxes that hang on it."""
    if not isinstance(content, dict):
        return
    if isinstance(content.get("Text"), str):
        yield content["Text"]
    elif "Table" in content:
        rows = (row_of([_inner(cell) for cell in row["cells"]]) for row in content["Table"]["rows"])
        yield "\n" + "\n".join(rows) + "\n"
    else:
        for paragraph in _paragraphs(content):
            yield f"\n{_text(paragraph)}\n"


def _inner(cell: Any) -> str:
    return " ".join(_text(paragraph) for paragraph in cell["paragraphs"])


def _paragraphs(content: Any) -> Iterator[Any]:
    """The outermost paragraphs anywhere below `content`."""
    if isinstance(content, dict):
        if "runs" in content:
            yield content
            return
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from _paragraphs(part)
