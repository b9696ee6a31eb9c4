"""Looks into a ZIP before anything unpacks it: how much would come out, and from how little."""

import contextlib
import zipfile
import zlib
from pathlib import Path
from xml.parsers import expat

from generation_service.reader.blocks import Unreadable

_MIB = 1024 * 1024
_MOST_ENTRIES = 5_000
_MOST_BYTES = 512 * _MIB  # unpacked, all entries together
_MOST_XML_BYTES = 100 * _MIB  # unpacked: XML needs many times its size once it is parsed
_HIGHEST_RATIO = 200  # of an entry that unpacks to more than a MiB; text rarely shrinks to a hundredth
_PIECE = 4096
_ENCRYPTED = 0x1
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # Office keeps a document with a password in such a file


def check(path: Path) -> None:
    """Raise Unreadable (`archive_bomb`, `encrypted`, `unreadable`) where unpacking would be unwise."""
    with path.open("rb") as file:
        if file.read(len(_OLE)) == _OLE:
            raise Unreadable("encrypted")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, zlib.error) as error:
        raise Unreadable("unreadable") from error


def _check(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise Unreadable("encrypted")
    if _is_bomb(entries):
        raise Unreadable("archive_bomb")
    if any(_declares_a_type(archive, entry) for entry in entries if _is_xml(entry)):
        raise Unreadable("unreadable")


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


def _declares_a_type(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Whether an XML entry has a document type, as no office program writes: entities are declared in it.

    Looked for up to the first element, behind which it cannot stand. What is no XML is left to who reads it.
    """
    types: list[str] = []
    elements: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda name, *_: types.append(name)
    parser.StartElementHandler = lambda name, _: elements.append(name)
    with contextlib.suppress(expat.ExpatError), archive.open(entry) as content:
        while not types and not elements and (piece := content.read(_PIECE)):
            parser.Parse(piece)
    return bool(types)
