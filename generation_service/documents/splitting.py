"""Splitting: text into chunks that keep scene headings and sentences whole, under their path of headings.

A text is parted where it parts itself: at scene headings, then blank lines, then lines, then
sentences; only a sentence beyond all measure is cut. What belongs together is packed up to the
target, and each chunk begins with the last sentence of the one before it in its section.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from generation_service.reader.blocks import Block

CHUNKER = "2"  # a change of the rules below is a new number, and with it new chunks
TARGET = 600  # characters; about one screen of Korean
_LONGEST_OVERLAP = 160  # a longer sentence is not repeated
_LONGEST_HEADING = 120  # a longer line only looks like a scene heading

# S#1. 헌책방 / 낮   S#.1 경찰서 (낮/안)   S1. 병원   #3. 작업실 (밤)   씬 3   장면 3.   INT. KITCHEN - DAY   SCENE 4
SCENE_HEADING = re.compile(
    r"^[ \t]*(?:S[ \t]*#[ \t]*\.?[ \t]*\d+|S\d+[ \t]*\.|#\d+[ \t]*\.|(?:씬|장면)[ \t]*#?\d+|SCENE[ \t]+\d+"
    r"|(?:INT|EXT|INT\.?/EXT|I/E)\.[ \t]+\S)[^\n]*$"
)
# A sentence ends at its marks and what closes after them; not after a digit (2024. 3. 4.), nor after a title, nor where
# a quotation goes on (“...” 하고 말했다). A match begins where a run of marks does, or long runs would take for ever.
_SENTENCE_END = re.compile(
    r"(?:(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bvs)(?<!\bMrs)(?<=[^\d\s.…])[.…]++|(?<![!?])[!?]++)"
    r"(?:[\"'”’」』)\]]++(?=\s)(?!\s(?:하고|이?라고|하며|이?라며|이?라는)\s)|(?=\s))"
    r"|[。！？]+[\"'”’」』)\]]*+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A chunk before it has an id: its text, where it stands, and which one it is, from 0."""

    ordinal: int
    text: str
    heading: str | None
    page: int | None


@dataclass(frozen=True, slots=True)
class _Section:
    heading: str | None
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is not parted again, and what stands before it when it does not begin a chunk."""

    text: str
    joint: str


def split(blocks: Iterable[Block], target: int = TARGET, most: int | None = None) -> list[Piece]:
    """Part blocks into pieces of about `target` characters; `most`: no more than the first so many."""
    texts = ((section, text) for section in _sections(blocks) for text in _packed(_units(section.text, target), target))
    return [
        Piece(ordinal=ordinal, text=text, heading=section.heading, page=section.page)
        for ordinal, (section, text) in enumerate(islice(texts, most))
    ]


def sentences(text: str) -> list[str]:
    """The sentences of `text`, in order and stripped."""
    parts: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        parts.append(text[start : end.end()])
        start = end.end()
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _sections(blocks: Iterable[Block]) -> Iterator[_Section]:
    """A section for each scene of each block; a scene goes on over the page."""
    above: str | None = None
    scene: str | None = None
    for block in blocks:
        if block.heading != above:
            above, scene = block.heading, None
        for title, text in _scenes(block.text):
            scene = title or scene
            heading = " > ".join(part for part in (above, scene) if part)
            yield _Section(heading or None, block.page, text)


def _scenes(text: str) -> Iterator[tuple[str | None, str]]:
    """(scene heading, text that begins with it); None for what stands before the first one.

    A heading with nothing below it stands above the next scene: it is too little for a chunk.
    """
    title: str | None = None
    lines: list[str] = []
    bare = False  # whether the lines are nothing but headings
    for line in text.split("\n"):
        if len(line) <= _LONGEST_HEADING and SCENE_HEADING.match(line):
            if any(lines) and not bare:
                yield title, "\n".join(lines).strip()
                lines = []
            title, bare = line.strip(), True
        elif line.strip():
            bare = False
        lines.append(line)
    if any(lines):
        yield title, "\n".join(lines).strip()


def _units(text: str, target: int) -> Iterator[_Unit]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield from _parted(paragraph, "\n\n", target)


def _parted(text: str, joint: str, target: int) -> Iterator[_Unit]:
    """Part `text` at the coarsest place that makes it small enough."""
    text = text.strip()
    if len(text) <= target:
        if text:
            yield _Unit(text, joint)
        return
    for part, finer in _parts(text, target):
        if part == text:
            yield _Unit(text, joint)
        else:
            yield from _parted(part, joint, target)
        joint = finer


def _parts(text: str, target: int) -> Iterator[tuple[str, str]]:
    """The next finer parts of a text that is too long, each with the joint that follows it."""
    if "\n" in text:
        return ((line, "\n") for line in text.split("\n"))
    found = sentences(text)
    if len(found) > 1:
        return ((sentence, " ") for sentence in found)
    return ((piece, "") for piece in _cut(text, target))


def _cut(text: str, target: int) -> Iterator[str]:
    """Cut what has no end of its own, at a space where one is near."""
    start = 0
    while start < len(text):
        end = start + target
        if end < len(text):
            space = text.rfind(" ", start + target // 2, end)
            end = space + 1 if space > 0 else end
        yield text[start:end]
        start = end


def _packed(units: Iterable[_Unit], target: int) -> Iterator[str]:
    chunk = ""
    own = False  # whether the chunk holds more than what it repeats
    for unit in units:
        if own and len(chunk) + len(unit.joint) + len(unit.text) > target:
            yield chunk
            chunk, own = _overlap(chunk), False
        room = target - len(unit.text)
        chunk = f"{chunk}{unit.joint}{unit.text}" if chunk and (own or len(chunk) <= room) else unit.text
        own = True
    if own:
        yield chunk


def _overlap(chunk: str) -> str:
    """The sentence that the next chunk begins with; '' where it is too long, or the chunk is nothing else."""
    lines = chunk.rsplit("\n", 1)
    last: Sequence[str] = sentences(lines[-1])
    if not last or last[-1] == chunk or len(last[-1]) > _LONGEST_OVERLAP or SCENE_HEADING.match(last[-1]):
        return ""
    return last[-1]
