"""Reads plain text and Markdown in whatever encoding they came."""

import codecs
import re
from pathlib import Path

from generation_service.reader.blocks import Found, Gathering, Outline, Unreadable, cleaned, some
from generation_service.reader.limits import Limits

# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The signs that may close a heading are taken off later: a pattern for them takes the square of a line.
_ATX_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*)$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_BYTES_OF_A_CHARACTER = 4


def read_text(path: Path, limits: Limits) -> Found:
    """The paragraphs of a plain text. Raises Unreadable."""
    gathering = Gathering(limits.max_characters)
    gathering.add(_decoded(path, limits))
    return Found(some(gathering))


def read_markdown(path: Path, limits: Limits) -> Found:
    """The sections of a Markdown text under their headings. Raises Unreadable."""
    outline = Outline(limits.max_characters)
    section: list[str] = []
    fenced = False
    for line in cleaned(_decoded(path, limits)).split("\n"):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _ATX_HEADING.match(line)
        title = heading.group(2).rstrip(" \t#") if heading else ""
        if heading is None or not title:
            section.append(line)
            continue
        outline.add("\n".join(section))
        section = []
        outline.enter(len(heading.group(1)), title)
    outline.add("\n".join(section))
    return Found(outline.finish())


def _decoded(path: Path, limits: Limits) -> str:
    if path.stat().st_size > limits.max_characters * _BYTES_OF_A_CHARACTER:
        raise Unreadable("too_large")
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """Text of bytes: by their mark, else UTF-8, else CP949, else by guess. Raises Unreadable.

    Both of the fixed ones come before the guess, because a guess about two syllables is wrong as
    often as right.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content.removeprefix(mark) if encoding == "utf-8" else content, encoding)
    for encoding in ("utf-8", "cp949"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return _guessed(content)


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("unreadable") from error


def _guessed(content: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - rarely needed, and slow to import

    best = from_bytes(content).best()
    if best is None:
        raise Unreadable("unreadable")
    return str(best)
