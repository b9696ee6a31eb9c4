"""Looks into a ZIP before anything unpacks it: how much would come out, and from how little."""

import zipfile
from pathlib import Path

from generation_service.reader.blocks import Unreadable

_MIB = 1024 * 1024
_MOST_ENTRIES = 5_000
_MOST_BYTES = 512 * _MIB  # unpacked, all entries together
_MOST_XML_BYTES = 100 * _MIB  # unpacked: XML needs many times its size once it is parsed
_HIGHEST_RATIO = 200  # of an entry that unpacks to more than a MiB; text rarely shrinks to a hundredth
_ENCRYPTED = 0x1
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # Office keeps a document with a password in such a file


def check(path: Path) -> None:
    """Raise Unreadable (`archive_bomb`, `encrypted`, `unreadable`) where unpacking would be unwise."""
    with path.open("rb") as file:
        if file.read(len(_OLE)) == _OLE:
            raise Unreadable("encrypted")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable("unreadable") from error
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise Unreadable("encrypted")
    if _is_bomb(entries):
        raise Unreadable("archive_bomb")


def _is_bomb(entries: list[zipfile.ZipInfo]) -> bool:
    return (
        len(entries) > _MOST_ENTRIES
        or sum(entry.file_size for entry in entries) > _MOST_BYTES
        or sum(entry.file_size for entry in entries if _is_xml(entry)) > _MOST_XML_BYTES
        or any(
            entry.file_size > _MIB and entry.file_size > _HIGHEST_RATIO * max(1, entry.compress_size)
            for entry in entries
        )
    )


def _is_xml(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.lower().endswith((".xml", ".rels"))
