"""What kind of file it is, by its bytes; of its name only the question `Markdown or plain text` is asked."""

from collections.abc import AsyncIterator

from generation_service.documents.model import FileType
from generation_service.errors import Refused

_HEAD_BYTES = 64 * 1024
_ZIP = b"PK\x03\x04"
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# Names of members stand uncompressed in a ZIP, and of streams in an OLE file, so no archive need be opened here.
_MARKS: tuple[tuple[bytes, bytes], ...] = (
    (_ZIP, b"word/document"),
    (_OLE, "EncryptedPackage".encode("utf-16-le")),  # an Office document with a password: read later, and then refused
)
_LONGEST_MARK = max(len(mark) for _, mark in _MARKS)
_NOT_PLAIN = (b"#!", b"{\\rtf")  # a script; a format of its own that happens to be text
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\x0b\f\r\x1b") | {0x7F}
_WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # before UTF-16's mark, with which it begins
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNIT_BYTES = 4  # a cut after a multiple of it parts no unit of UTF-16 or UTF-32


class Sniffer:
    """Looks at chunks as they pass, and knows at the end what type they make."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._marked = False

    def look(self, chunk: bytes) -> None:
        """Take notice of the next chunk."""
        room = _HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += chunk[:room]
        mark = next((mark for magic, mark in _MARKS if self._head.startswith(magic)), None)
        if mark is not None and not self._marked:
            window = self._tail + chunk
            self._marked = mark in window
            self._tail = window[-_LONGEST_MARK:]

    @property
    def empty(self) -> bool:
        return not self._head

    def file_type(self, name: str) -> FileType | None:
        """The type of what has passed; None where it is not taken."""
        if self._head.lstrip(b"\xef\xbb\xbf\x00 \t\r\n").startswith(b"%PDF-"):
            return "pdf"
        if self._head.startswith((_ZIP, _OLE)):
            return "docx" if self._marked else None
        if not _is_text(self._head):
            return None
        return "md" if name.lower().endswith((".md", ".markdown")) else "txt"


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


def _is_text(head: bytes) -> bool:
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            whole = head[: len(head) // _UNIT_BYTES * _UNIT_BYTES] if len(head) == _HEAD_BYTES else head
            # A surrogate pair may be parted by the cut; that much is forgiven.
            return not any(ord(character) in _CONTROLS for character in whole.decode(encoding, "ignore"))
    return not head.startswith(_NOT_PLAIN) and _CONTROLS.isdisjoint(head)
