"""What kind of file it is, by its bytes; its name is asked only which kind of text, or which locked document, it is."""

import re
from collections.abc import AsyncIterator

from generation_service.documents.model import FileType
from generation_service.errors import Refused

_HEAD_BYTES = 64 * 1024
_ZIP = b"PK\x03\x04"
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# Names of members stand uncompressed in a ZIP, and of streams in an OLE file, so no archive need be opened here. The
# first one counts: documents may hold documents of other kinds.
_MEMBER = re.compile(
    rb"PK\x03\x04.{26}(?:(word/document|ppt/presentation|xl/workbook\.xml|Contents/content\.hpf)"
    rb"|mimetype.{0,40}?(application/hwp\+zip))",
    re.DOTALL,
)
_HWP = b"HWP Document File"
_LOCKED_OFFICE = "EncryptedPackage".encode("utf-16-le")  # read later, and then refused with its own code
_MARKED: dict[bytes, FileType] = {
    b"word/document": "docx",
    b"ppt/presentation": "pptx",
    b"xl/workbook.xml": "xlsx",
    b"Contents/content.hpf": "hwpx",
    b"application/hwp+zip": "hwpx",
    _HWP: "hwp",
}
_LONGEST_MARK = 128
_OFFICE: tuple[FileType, ...] = ("docx", "pptx", "xlsx")
_SUFFIXES: dict[str, FileType] = {".md": "md", ".markdown": "md", ".html": "html", ".htm": "html", ".xhtml": "html"}

_NOT_PLAIN = (b"#!", b"{\\rtf")  # a script; a format of its own that happens to be text
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\x0b\f\r\x1b") | {0x7F}
_WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # before UTF-16's mark, with which it begins
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNIT_BYTES = 4  # a cut after a multiple of it parts no unit of UTF-16 or UTF-32
_PAGE = re.compile(r"(?:\s|\ufeff|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?:head|title|meta|body|div|p|br|h[1-6]|span|table|ul|ol|a|b|img)\b[^<>]*>", re.IGNORECASE)


class Sniffer:
    """Looks at chunks as they pass, and knows at the end what type they make."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._mark: bytes | None = None

    def look(self, chunk: bytes) -> None:
        """Take notice of the next chunk."""
        room = _HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += chunk[:room]
        if self._mark is not None:
            return
        window = self._tail + chunk
        self._tail = window[-_LONGEST_MARK:]
        if self._head.startswith(_ZIP):
            found = _MEMBER.search(window)
            self._mark = found and (found[1] or found[2])
        elif self._head.startswith(_OLE):
            self._mark = min((mark for mark in (_HWP, _LOCKED_OFFICE) if mark in window), key=window.find, default=None)

    @property
    def empty(self) -> bool:
        return not self._head

    def file_type(self, name: str) -> FileType | None:
        """The type of what has passed; None where it is not taken."""
        if self._head.lstrip(b"\xef\xbb\xbf\x00 \t\r\n").startswith(b"%PDF-"):
            return "pdf"
        if self._head.startswith((_ZIP, _OLE)):
            return self._container(name)
        text = _text_of(self._head)
        return None if text is None else _text_type(text, name)

    def _container(self, name: str) -> FileType | None:
        if self._mark == _LOCKED_OFFICE:  # nobody can say what is in it but its name
            return next((kind for kind in _OFFICE if name.lower().endswith(f".{kind}")), _OFFICE[0])
        return None if self._mark is None else _MARKED[self._mark]


async def sniffed(chunks: AsyncIterator[bytes], sniffer: Sniffer, name: str) -> AsyncIterator[bytes]:
    """Pass chunks on while `sniffer` looks at them.

    Raises Refused at the end, so that a store which takes all or nothing keeps nothing:
    `document_empty` (422), `document_type_not_taken` (415).
    """
    async for chunk in chunks:
        sniffer.look(chunk)
        yield chunk
    if sniffer.empty:
        raise Refused("document_empty", 422)
    if sniffer.file_type(name) is None:
        raise Refused("document_type_not_taken", 415)


def _text_type(text: str, name: str) -> FileType:
    if _PAGE.match(text):
        return "html"
    named = next((kind for suffix, kind in _SUFFIXES.items() if name.lower().endswith(suffix)), None)
    return "txt" if named is None or (named == "html" and not _TAG.search(text)) else named


def _text_of(head: bytes) -> str | None:
    """The head as text, its letters perhaps wrong but its signs right; None where it is none."""
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            whole = head[: len(head) // _UNIT_BYTES * _UNIT_BYTES] if len(head) == _HEAD_BYTES else head
            # A surrogate pair may be parted by the cut; that much is forgiven.
            wide = whole.decode(encoding, "ignore")
            return None if any(ord(character) in _CONTROLS for character in wide) else wide
    plain = not head.startswith(_NOT_PLAIN) and _CONTROLS.isdisjoint(head)
    return head.decode("utf-8", "replace") if plain else None
