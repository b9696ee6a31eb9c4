"""Writes an HWP 5.0 file from the published format, for no library does: a compound file with the least that is read.

[MS-CFB] is the container; Hancom's "한글문서파일형식 5.0" says what its streams hold.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SECTOR = 512
_MINI_SECTOR = 64
_MINI_LIMIT = 4096  # a shorter stream stands in the mini stream
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5

_DOCUMENT_PROPERTIES, _ID_MAPPINGS, _FACE_NAME, _BORDER_FILL, _CHAR_SHAPE = 16, 17, 19, 20, 21
_PARA_SHAPE, _STYLE, _PARA_HEADER, _PARA_TEXT, _PARA_CHAR_SHAPE = 25, 26, 66, 67, 68
_TAB = "\t" + "\0" * 6 + "\t"
_COMPRESSED, _WITH_PASSWORD = 1, 2


def hwp(text: str, *, password: bool = False, body: bytes | None = None) -> bytes:
    """An HWP with a paragraph for each line; with `password` it says that it has one.

    `body` replaces the packed stream that the paragraphs stand in.
    """
    paragraphs = _packed(b"".join(_paragraph(line) for line in text.split("\n")))
    flags = _COMPRESSED | (_WITH_PASSWORD if password else 0)
    header = struct.pack("<32sII216x", b"HWP Document File", 0x05000300, flags)
    sections = {"Section0": paragraphs if body is None else body}
    return compound({"FileHeader": header, "DocInfo": _packed(_document_info()), "BodyText": sections})


def _packed(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


def _record(tag: int, level: int, content: bytes) -> bytes:
    size = min(len(content), 0xFFF)
    longer = struct.pack("<I", len(content)) if size == 0xFFF else b""
    return struct.pack("<I", tag | level << 10 | size << 20) + longer + content


def _document_info() -> bytes:
    faces = [b"\0" + _counted("바탕")] * 7  # a font for each of seven scripts
    counts = [0, *[1] * 7, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0]
    return b"".join(
        [
            _record(_DOCUMENT_PROPERTIES, 0, struct.pack("<7H3I", 1, 1, 1, 1, 1, 1, 1, 0, 0, 0)),
            _record(_ID_MAPPINGS, 0, struct.pack("<18I", *counts)),
            *(_record(_FACE_NAME, 1, face) for face in faces),
            _record(_BORDER_FILL, 1, bytes(2) + bytes(6 * 5) + struct.pack("<II", 0, 0)),
            _record(_CHAR_SHAPE, 1, bytes(14) + b"\x64" * 7 + bytes(7) + b"\x64" * 7 + bytes(7) + _char_shape()),
            _record(_PARA_SHAPE, 1, bytes(54)),
            _record(_STYLE, 1, _counted("바탕글") + _counted("Normal") + struct.pack("<BBhHHH", 0, 0, 1042, 0, 0, 0)),
        ]
    )


def _char_shape() -> bytes:
    return struct.pack("<iIbbIIIIHI", 1000, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0, 0, 0)


def _counted(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def _paragraph(line: str) -> bytes:
    text = (line.replace("\t", _TAB) + "\r").encode("utf-16-le")
    count = len(text) // 2 | 0x80000000  # the sign says that it is the last of its list, which readers do not mind
    header = struct.pack("<IIHBBHHHI", count, 0, 0, 0, 0, 1, 0, 0, 0)
    shapes = struct.pack("<II", 0, 0)
    return _record(_PARA_HEADER, 0, header) + _record(_PARA_TEXT, 1, text) + _record(_PARA_CHAR_SHAPE, 1, shapes)


@dataclass
class _Entry:
    name: str
    kind: int
    content: bytes = b""
    child: int = _FREE
    right: int = _FREE
    start: int = _END


Tree = Mapping[str, "bytes | Tree"]


def compound(tree: Tree) -> bytes:
    """A compound file of streams (bytes) and storages (more of them), each by name."""
    entries = [_Entry("Root Entry", _ROOT)]
    entries[0].child = _enter(tree, entries)
    short = [entry for entry in entries if 0 < len(entry.content) < _MINI_LIMIT]
    entries[0].content, mini_table = _chained(short, _MINI_SECTOR)
    table_of_minis = _Entry("", _STREAM, _numbers(mini_table))
    directory = _Entry("", _STREAM, bytes(128 * len(entries)))
    placed = [entry for entry in entries if entry.kind == _ROOT or len(entry.content) >= _MINI_LIMIT]
    _chained([*placed, table_of_minis, directory], _SECTOR)  # only to know where each begins
    directory.content = b"".join(map(_described, entries))
    sectors, table = _chained([*placed, table_of_minis, directory], _SECTOR)
    return _head(table, directory, table_of_minis) + sectors + _numbers(_closed(table))


def _enter(tree: Tree, entries: list[_Entry]) -> int:
    """Add a storage's members in the order that readers look for them in; the number of the first."""
    first = previous = _FREE
    for name in sorted(tree, key=lambda name: (len(name), name.upper())):
        member, number = tree[name], len(entries)
        entry = _Entry(name, _STREAM, member) if isinstance(member, bytes) else _Entry(name, _STORAGE)
        entries.append(entry)
        if not isinstance(member, bytes):
            entry.child = _enter(member, entries)
        if previous == _FREE:
            first = number
        else:
            entries[previous].right = number
        previous = number
    return first


def _chained(entries: Sequence[_Entry], size: int) -> tuple[bytes, list[int]]:
    """Their contents in sectors of `size`, and for each sector the one that follows it."""
    sectors, table = bytearray(), list[int]()
    for entry in entries:
        count = -(-len(entry.content) // size)
        entry.start = len(table) if count else _END
        table += [*range(len(table) + 1, len(table) + count), _END][:count]
        sectors += entry.content.ljust(count * size, b"\0")
    return bytes(sectors), table


def _closed(table: Sequence[int]) -> list[int]:
    """The table with its own sectors in it."""
    own = _table_sectors(table)
    return [*table, *[_FAT] * own, *[_FREE] * (own * _SECTOR // 4 - len(table) - own)]


def _table_sectors(table: Sequence[int]) -> int:
    return -(-len(table) // (_SECTOR // 4 - 1))


def _described(entry: _Entry) -> bytes:
    name = (entry.name + "\0").encode("utf-16-le")
    links = struct.pack("<HBBIII", len(name), entry.kind, 1, _FREE, entry.right, entry.child)
    return name.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", entry.start, len(entry.content))


def _head(table: Sequence[int], directory: _Entry, minis: _Entry) -> bytes:
    own = _table_sectors(table)
    where = [*range(len(table), len(table) + own), *[_FREE] * (109 - own)]
    mini_sectors = -(-len(minis.content) // _SECTOR)
    return (
        bytes.fromhex("d0cf11e0a1b11ae1")
        + bytes(16)
        + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
        + struct.pack("<IIIII", 0, own, directory.start, 0, _MINI_LIMIT)
        + struct.pack("<IIII", minis.start, mini_sectors, _END, 0)
        + _numbers(where)
    )


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)
