"""Reads a DOCX: paragraphs, headings and tables in the order they stand in."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.oxml.ns import qn

from generation_service.reader import archive
from generation_service.reader.blocks import Found, Outline, row_of
from generation_service.reader.limits import Limits

_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# What was deleted, and the second copy of a text box that is there for old readers.
_LEFT_OUT = frozenset(
    {qn("w:del"), qn("w:moveFrom"), "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"}
)
_P, _TBL, _TR, _TC, _T = (qn(f"w:{name}") for name in ("p", "tbl", "tr", "tc", "t"))
_CONTAINERS = frozenset({qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml"), qn("w:smartTag")})


def read(path: Path, limits: Limits) -> Found:
    """The text of the body. Raises Unreadable."""
    archive.check(path)
    document = docx.Document(str(path))
    levels = _heading_levels(document)
    outline = Outline(limits.max_characters)
    for element in _content(document.element.body):
        text = _table(element) if element.tag == _TBL else _text(element)
        level = _level(element, levels) if element.tag == _P and text.strip() else None
        if level is None:
            outline.add(text)
        else:
            outline.enter(level, text)
    return Found(outline.finish())


def _content(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, looked for inside content controls too."""
    for child in parent:
        if child.tag in {_P, _TBL}:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _content(child)


def _text(element: Any) -> str:
    return "".join(_pieces(element))


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == _T:
            yield child.text or ""
        elif child.tag in _BREAKS:
            yield _BREAKS[child.tag]
        elif child.tag == _P:  # of a text box
            yield "\n"
            yield from _pieces(child)
        elif child.tag not in _LEFT_OUT:
            yield from _pieces(child)


def _table(table: Any) -> str:
    rows = (row for row in table.iter(_TR) if _owner(row, _TBL) is table)
    return "\n".join(line for line in map(_row, rows) if line)


def _row(row: Any) -> str:
    cells = (cell for cell in row.iter(_TC) if _owner(cell, _TR) is row)
    return row_of([" ".join(_text(paragraph) for paragraph in cell.iter(_P)) for cell in cells])


def _owner(element: Any, tag: str) -> Any:
    return next(element.iterancestors(tag), None)


def _heading_levels(document: Any) -> dict[str, int]:
    """Style id -> level, for the styles that make a paragraph a heading, by name or by outline level."""
    levels: dict[str, int] = {}
    for style in document.styles.element.iter(qn("w:style")):
        name = style.find(qn("w:name"))
        named = _HEADING.match(name.get(qn("w:val"), "")) if name is not None else None
        level = int(named.group(1)) if named else _outline_level(style.find(qn("w:pPr")))
        if level is None and name is not None and name.get(qn("w:val"), "").lower() == "title":
            level = 1
        if level is not None:
            levels[style.get(qn("w:styleId"), "")] = level
    return levels


def _level(paragraph: Any, levels: dict[str, int]) -> int | None:
    properties = paragraph.find(qn("w:pPr"))
    if properties is None:
        return None
    style = properties.find(qn("w:pStyle"))
    own = _outline_level(properties)
    return own if own is not None or style is None else levels.get(style.get(qn("w:val"), ""))


def _outline_level(properties: Any) -> int | None:
    """The level, from 1, that paragraph properties give; 9 in the file means body text."""
    outline = properties.find(qn("w:outlineLvl")) if properties is not None else None
    value = outline.get(qn("w:val"), "") if outline is not None else ""
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else None  # noqa: PLR2004 - said above
