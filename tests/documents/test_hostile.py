"""Hostile files: each ends with its own code, soon, and the service that reads them does not grow."""

import asyncio
import io
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from generation_service.documents.filetypes import Sniffer
from generation_service.documents.parsing import Parser
from generation_service.errors import PermanentError
from generation_service.settings import Settings
from tests.documents import files

MIB = 1024 * 1024
LONGEST_SECONDS = 40
MOST_GROWTH = 64 * MIB

LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n else str()};" * 10}">' for n in range(10))
    + "]>"
)
SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LOCK = {
    "META-INF/manifest.xml": b"<odf:manifest><odf:file-entry><odf:encryption-data/></odf:file-entry></odf:manifest>"
}
FAR_CELLS = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
UNPLACED_CELLS = f"<row>{'<c/>' * 16_000}<c><v>1</v></c></row>{'<row/>' * 1_000}<row><c><v>1</v></c></row>"


def nested(count: int) -> str:
    return "<div>" * count + "글" + "</div>" * count


def flate(size: int, wbits: int = 15) -> bytes:
    """What unpacks to `size` bytes of blanks, give or take, without packing them all: one part, again and again."""
    packer = zlib.compressobj(wbits=wbits)
    start = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + part * (size // MIB - 1) + packer.flush(zlib.Z_FINISH)


def pdf_bomb(*, times: int) -> bytes:
    """A PDF whose page unpacks to 4 GB, in one step or in more."""
    content = flate(4096 * MIB)
    for _ in range(times - 1):
        content = zlib.compress(content)
    filters = b"/FlateDecode" * times
    return files.assembled(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R>>",
            b"<</Filter[%s]/Length %d>>stream\n%s\nendstream" % (filters, len(content), content),
        ]
    )


def sheet_with(rows: str, head: str = "") -> bytes:
    """An XLSX whose sheet holds `rows`, and says that it is one cell."""
    xml = f'{head}<worksheet xmlns="{SPREADSHEET}"><dimension ref="A1"/><sheetData>{rows}</sheetData></worksheet>'
    return files.repacked(files.xlsx("글"), {"xl/worksheets/sheet1.xml": xml.encode()})


def sheet_elsewhere(rows: str) -> bytes:
    """The same, the sheet under another name."""
    links = "xl/_rels/workbook.xml.rels"
    xml = sheet_with(rows)
    with zipfile.ZipFile(io.BytesIO(xml)) as archive:
        moved = archive.read(links).replace(b"worksheets/sheet1.xml", b"media/picture.png")
        return files.repacked(xml, {links: moved, "xl/media/picture.png": archive.read("xl/worksheets/sheet1.xml")})


def slide_with(text: str, head: str = "") -> bytes:
    part = "ppt/slides/slide1.xml"
    with zipfile.ZipFile(io.BytesIO(files.pptx("HERE"))) as archive:
        body = archive.read(part).decode().partition("?>")[2].replace("HERE", text)
    return files.repacked(files.pptx("HERE"), {part: (head + body).encode()})


def hwpx_with(text: str, head: str = "") -> bytes:
    part = "Contents/section0.xml"
    with zipfile.ZipFile(io.BytesIO(files.hwpx("HERE"))) as archive:
        body = archive.read(part).decode().partition("?>")[2].replace("HERE", text)
    return files.repacked(files.hwpx("HERE"), {part: (head + body).encode()})


def word_with(text: str, head: str = "") -> bytes:
    body = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    xml = f'{head}<w:document xmlns:w="{body}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return files.word_with(xml.encode())


HOSTILE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "a pdf bomb": (lambda: pdf_bomb(times=1), "pdf", "too_complex"),
    "a pdf bomb in a bomb": (lambda: pdf_bomb(times=2), "pdf", "too_complex"),
    "a pdf with a password": (files.encrypted_pdf, "pdf", "encrypted"),
    "a pdf that is cut off": (lambda: files.pdf("글" * 500)[:700], "pdf", "unreadable"),
    "a pdf without a page": (lambda: files.pdf([]), "pdf", "unreadable"),
    "a scan": (files.scan_pdf, "pdf", "needs_ocr"),
    "a docx bomb": (lambda: files.word_with(b"<a/>" + b" " * 20 * MIB), "docx", "archive_bomb"),
    "a docx of 6,000 members": (
        lambda: files.repacked(files.docx("글"), {f"word/{n}.xml": b"" for n in range(6000)}),
        "docx",
        "archive_bomb",
    ),
    "a docx that is cut off": (lambda: files.docx("글")[:-200], "docx", "unreadable"),
    "a docx with nested tags": (lambda: word_with(nested(20_000)), "docx", "unreadable"),
    "a docx of laughs": (lambda: word_with("&a9;", LAUGHS), "docx", "unreadable"),
    "a pptx that is cut off": (lambda: files.pptx("글")[:-200], "pptx", "unreadable"),
    "a pptx with nested tags": (lambda: slide_with(nested(20_000)), "pptx", "unreadable"),
    "a pptx of laughs": (lambda: slide_with("&a9;", LAUGHS), "pptx", "unreadable"),
    "a pptx bomb": (lambda: slide_with(" " * 20 * MIB), "pptx", "archive_bomb"),
    "an xlsx that is cut off": (lambda: files.xlsx("글")[:-100], "xlsx", "unreadable"),
    "17 billion cells": (lambda: sheet_with(FAR_CELLS), "xlsx", "too_large"),
    "17 billion cells in a picture": (lambda: sheet_elsewhere(FAR_CELLS), "xlsx", "too_large"),
    "16 million cells without a place": (lambda: sheet_with(UNPLACED_CELLS), "xlsx", "too_large"),
    "a million rows": (
        lambda: sheet_with("".join(f"<row><c t='str'><v>제{n}행</v></c></row>" for n in range(1_000_000))),
        "xlsx",
        "too_large",
    ),
    "an xlsx of laughs": (lambda: sheet_with("<row><c><v>&a9;</v></c></row>", LAUGHS), "xlsx", "unreadable"),
    "an xlsx bomb": (lambda: sheet_with(" " * 20 * MIB), "xlsx", "archive_bomb"),
    "200,000 nested tags": (lambda: b"<!doctype html>" + nested(200_000).encode(), "html", "too_complex"),
    "200,000 nested links": (lambda: b"<!doctype html>" + b"<b><a href=x>" * 200_000, "html", "too_complex"),
    "a million headings": (lambda: b"# a\nb\n# c\nd\n" * 100_000, "md", "too_large"),
    "a page of scripts only": (lambda: b"<html><script>" + b"x" * 1000 + b"</script>", "html", "unreadable"),
    "an hwpx bomb": (lambda: hwpx_with(" " * 20 * MIB), "hwpx", "archive_bomb"),
    "an hwpx with nested tags": (lambda: hwpx_with(nested(20_000)), "hwpx", "unreadable"),
    "an hwpx of laughs": (lambda: hwpx_with("&a9;", LAUGHS), "hwpx", "unreadable"),
    "an hwpx that is cut off": (lambda: files.hwpx("글")[:-100], "hwpx", "unreadable"),
    "an hwp bomb": (lambda: files.hwp("", body=flate(4096 * MIB, -15)), "hwp", "archive_bomb"),
    "an hwp with a password": (lambda: files.hwp("비밀", password=True), "hwp", "encrypted"),
    "an hwp that is cut off": (lambda: files.hwp("글" * 500)[:2000], "hwp", "unreadable"),
    "an hwp without text": (lambda: files.hwp(""), "hwp", "unreadable"),
    "an hwp of noise": (lambda: files.hwp("", body=b"\x55" * 9000), "hwp", "unreadable"),
    "an office document with a password": (
        lambda: files.compound({"EncryptedPackage": b"x" * 9000, "EncryptionInfo": b"x"}),
        "docx",
        "encrypted",
    ),
    "an hwpx with a password": (lambda: files.repacked(files.hwpx("비밀"), LOCK), "hwpx", "encrypted"),
    "an hwpx without text": (lambda: files.hwpx(""), "hwpx", "unreadable"),
}


async def growth_while(reading: asyncio.Task[object]) -> int:
    """By how many bytes this process grew at most until `reading` was done."""
    process = psutil.Process()
    before = most = process.memory_info().rss
    while not reading.done():
        most = max(most, process.memory_info().rss)
        await asyncio.wait([reading], timeout=0.02)
    return most - before


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_ends_in_its_code(
    name: str, tmp_path: Path, settings_for: Callable[..., Settings]
) -> None:
    build, file_type, code = HOSTILE[name]
    path = files.written(tmp_path, build())
    sniffer = Sniffer()
    sniffer.look(path.read_bytes())
    began = time.monotonic()

    reading: asyncio.Task[object] = asyncio.ensure_future(Parser.of(settings_for()).parse(path, file_type))
    growth = await growth_while(reading)

    assert sniffer.file_type(f"a.{file_type}") == file_type
    error = reading.exception()
    assert isinstance(error, PermanentError)
    assert error.code == code
    assert time.monotonic() - began < LONGEST_SECONDS
    assert growth < MOST_GROWTH


@pytest.mark.parametrize(("build", "file_type"), [(word_with, "docx"), (slide_with, "pptx"), (hwpx_with, "hwpx")])
async def test_an_entity_that_names_a_file_brings_nothing_of_it(
    build: Callable[[str, str], bytes], file_type: str, tmp_path: Path, settings_for: Callable[..., Settings]
) -> None:
    secret = files.written(tmp_path, b"the secret", "secret")
    content = build("before &x; after", f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]>')
    reading = asyncio.ensure_future(Parser.of(settings_for()).parse(files.written(tmp_path, content), file_type))
    await asyncio.wait([reading])

    told = reading.exception() or reading.result()
    assert getattr(told, "code", None) == "unreadable"
    assert "the secret" not in repr(told)
