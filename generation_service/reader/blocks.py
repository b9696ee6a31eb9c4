"""What reading a document gives: blocks of text under headings, gathered within a limit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_LONGEST_HEADING = 200  # characters of a heading path; a title is no place to hide a book
_BLOCK_CHARACTERS = (
    50  # that a block counts for by itself: millions of tiny ones would fill the memory of who reads them
)
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\ufeff\ufffe\uffff]")  # control signs and PDF's hyphenation marks
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


class Unreadable(Exception):
    """The document cannot be taken; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ReaderFailed(Exception):
    """Reading failed, and not for anything in the document."""


@dataclass(slots=True)
class Block:
    """A run of text on one page (from 1) under one path of headings, outermost first, joined with ` > `."""

    text: str
    heading: str | None = None
    page: int | None = None


@dataclass(slots=True)
class Found:
    """What a document holds; how many pages, slides or sheets; and those of its pages that are pictures only."""

    blocks: list[Block]
    pages: int | None = None
    pictures: Sequence[int] = ()

    def described(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        blocks = [(block.text, block.heading, block.page) for block in self.blocks]
        return {"blocks": blocks, "pages": self.pages, "pictures": self.pictures}


@dataclass(slots=True)
class Gathering:
    """Collects blocks, joins those that belong together, and refuses more than `most` characters."""

    most: int
    blocks: list[Block] = field(default_factory=list)
    _size: int = 0
    _paragraphs: list[str] = field(default_factory=list)
    _place: tuple[str | None, int | None] = (None, None)

    def add(self, text: str, heading: str | None = None, page: int | None = None) -> None:
        """Add a paragraph. Raises Unreadable `too_large`."""
        plain = cleaned(text)
        if not plain:
            return
        place = ((heading or "")[:_LONGEST_HEADING] or None, page)
        if place != self._place:
            self._close()
            self._place = place
            self._size += len(place[0] or "") + _BLOCK_CHARACTERS
        self._size += len(plain)
        if self._size > self.most:
            raise Unreadable("too_large")
        self._paragraphs.append(plain)

    def finish(self) -> list[Block]:
        """Return the blocks; the gathering is over."""
        self._close()
        return self.blocks

    def _close(self) -> None:
        if self._paragraphs:
            self.blocks.append(Block("\n\n".join(self._paragraphs), *self._place))
            self._paragraphs = []


@dataclass(slots=True)
class _Section:
    level: int
    title: str
    has_text: bool = False


class Outline:
    """Gathers a text with headings: each paragraph goes under the path of headings that it stands under."""

    def __init__(self, most: int) -> None:
        self._gathering = Gathering(most)
        self._path: list[_Section] = []

    def enter(self, level: int, title: str) -> None:
        """Begin a section of `level` (1 is the outermost)."""
        self._leave(level)
        self._path.append(_Section(level, " ".join(cleaned(title).split())))

    def add(self, text: str) -> None:
        """Add a paragraph. Raises Unreadable `too_large`."""
        if not text.strip():
            return
        if self._path:
            self._path[-1].has_text = True
        self._gathering.add(text, self._heading())

    def finish(self) -> list[Block]:
        """Return the blocks. Raises Unreadable `unreadable` where there is no text at all."""
        self._leave(0)
        return some(self._gathering)

    def _leave(self, level: int) -> None:
        """End the sections that one of `level` ends; a heading with nothing below it stays as text."""
        while self._path and self._path[-1].level >= level:
            if not self._path[-1].has_text:
                self._gathering.add(self._path[-1].title, self._heading())
            self._path.pop()
            if self._path:
                self._path[-1].has_text = True

    def _heading(self) -> str | None:
        return " > ".join(section.title for section in self._path) or None


def some(gathering: Gathering) -> list[Block]:
    """The blocks that were gathered. Raises Unreadable `unreadable` where there are none."""
    blocks = gathering.finish()
    if not blocks:
        raise Unreadable("unreadable")
    return blocks


def row_of(cells: Sequence[str]) -> str:
    """A table's row as a line, up to its last cell that is not blank."""
    plain = [" ".join(cell.split()) for cell in cells]
    while plain and not plain[-1]:
        plain.pop()
    return " | ".join(plain)


def cleaned(text: str) -> str:
    """Text that every database and encoding can hold, with plain line ends and no runs of blank lines."""
    unbroken = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n").replace("\xa0", " ")
    storable = _UNWANTED.sub("", unbroken).encode("utf-8", "replace").decode("utf-8")
    return _BLANK_LINES.sub("\n\n", storable).strip()
