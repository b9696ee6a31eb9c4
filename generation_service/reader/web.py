"""Reads an HTML page: what a reader sees of it, under its headings."""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from generation_service.reader.blocks import Found, Outline, Unreadable
from generation_service.reader.limits import Limits
from generation_service.reader.plain import decoded

_MOST_BYTES = 32 * 1024 * 1024  # a page's tree is many times as large as its text
_DEEPEST = 20_000  # tags that stand open at once: the parser takes the square of them
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# These need no end, or end where the next one begins, so they do not nest by being many.
_UNCOUNTED = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
    | {"p", "li", "td", "th", "tr", "dt", "dd", "option", "colgroup", "thead", "tbody", "tfoot", "rp", "rt"}
)
_UNSEEN = frozenset({"head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "select"})
_PARTING = frozenset(
    {"address", "article", "aside", "blockquote", "body", "details", "div", "fieldset", "figcaption", "figure"}
    | {"footer", "form", "header", "hr", "main", "nav", "p", "pre", "section", "summary"}
    | {"dd", "dl", "dt", "li", "ol", "ul", "table", "tr"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_HEAD_BYTES = 4096
# Names that a page may give its encoding: in each of these ASCII is ASCII, as it was in the name itself.
_NAMED = {
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
    **dict.fromkeys(("euc-kr", "cp949", "ms949", "windows-949", "ks_c_5601-1987", "ks_c_5601", "ksc5601"), "cp949"),
    **dict.fromkeys(("iso-8859-1", "latin1", "us-ascii", "ascii"), "cp1252"),
    "iso-8859-15": "iso-8859-15",
    **{f"{prefix}125{digit}": f"cp125{digit}" for prefix in ("windows-", "cp") for digit in range(9)},
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "cp932"), "cp932"),
    "euc-jp": "euc-jp",
    **dict.fromkeys(("gb18030", "gbk", "gb2312"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs"), "big5hkscs"),
}


def read(path: Path, limits: Limits) -> Found:
    """The visible text. Raises Unreadable."""
    if path.stat().st_size > _MOST_BYTES:
        raise Unreadable("too_large")
    source = _decoded(path.read_bytes())
    _check_depth(source)
    page = _Page(limits.max_characters)
    for node, ends in _walked(LexborHTMLParser(source).root):
        page.leave(node.tag or "") if ends else page.enter(node)
    return page.finish()


class _Page:
    """Gathers the text of nodes as they are entered and left."""

    def __init__(self, most: int) -> None:
        self._outline = Outline(most)
        self._pieces: list[str] = []
        self._tables = self._verbatim = 0

    def enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content or ""
            self._pieces.append(text if self._verbatim else re.sub(r"[ \t\r\n\f]+", " ", text))
        elif tag == "br":
            self._pieces.append("\n")
        elif tag in _CELLS:
            self._pieces.append(" | ")
        else:
            if tag != "tr":
                self._part(tag)
            self._tables += tag == "table"
            self._verbatim += tag == "pre"

    def leave(self, tag: str) -> None:
        if tag in _HEADINGS:
            title = self._taken()
            if title:
                self._outline.enter(_HEADINGS[tag], title)
            return
        self._tables -= tag == "table"
        self._part(tag)
        self._verbatim -= tag == "pre"

    def finish(self) -> Found:
        """Return what was found. Raises Unreadable `unreadable` where there is no text at all."""
        self._outline.add(self._taken())
        return Found(self._outline.finish())

    def _part(self, tag: str) -> None:
        """Begin a paragraph; in a table only its rows are parted, by lines."""
        if tag in _HEADINGS or (tag in _PARTING and not self._tables):
            self._outline.add(self._taken())
        elif tag in _PARTING:
            self._pieces.append("\n" if tag == "tr" else " ")

    def _taken(self) -> str:
        lines = "".join(self._pieces).split("\n")
        self._pieces = []
        return "\n".join(lines if self._verbatim else map(_tidied, lines))


def _tidied(line: str) -> str:
    """A line without the bar before its first cell, with single blanks; '' where nothing is between its bars."""
    return " ".join(line.split()).removeprefix("| ") if line.strip(" |") else ""


def _walked(root: LexborNode | None) -> Iterator[tuple[LexborNode, bool]]:
    """(node, whether it ends), without recursion, for nobody knows how deep a page goes."""
    waiting = [(root, False)] if root is not None else []
    while waiting:
        node, ends = waiting.pop()
        if not ends and node.tag in _UNSEEN:
            continue
        yield node, ends
        if not ends:
            waiting.append((node, True))
            waiting += [(child, False) for child in reversed(list(node.iter(include_text=True)))]


def _check_depth(source: str) -> None:
    depth = 0
    for tag in _TAG.finditer(source):
        if tag.group(2).lower() not in _UNCOUNTED:
            depth = max(0, depth - 1) if tag.group(1) else depth + 1
            if depth > _DEEPEST:
                raise Unreadable("too_complex")


def _decoded(content: bytes) -> str:
    """The page's text: by its mark or by what it says of itself, else as any other text."""
    named = _CHARSET.search(content[:_HEAD_BYTES])
    if named and not content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = _NAMED.get(named.group(1).decode().lower())
        with suppress(UnicodeDecodeError):
            if encoding:
                return content.decode(encoding)
    return decoded(content)
