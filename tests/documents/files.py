"""Files as people bring them, good and bad, made anew for each test in a few milliseconds each."""

import html as markup
import io
import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docx as python_docx
import hwpforge
import pptx as python_pptx
import xlsxwriter

from tests.documents.hwp5 import compound, hwp

__all__ = ["compound", "hwp"]  # of a module of its own, and files all the same

SCRIPT = """기획의도

골목 끝 헌책방을 지키는 사람들의 이야기.

S#1. 헌책방 / 낮
도현이 먼지 쌓인 책을 정리한다. 문이 열리고 지수가 들어온다.
지수\t이 책, 아직 팔아요?

S#2. 아리랑 극장 / 밤
정전. 관객들이 웅성거린다. 2024. 3. 4. 날짜가 적힌 표가 떨어진다.
"""


CELLS = (("장소", "시간"), ("헌책방", "낮"))
_LINES_OF_A_PAGE = 40
_SIGNS = re.compile(r"[\\`*_{}\[\]<>()#+.!|~-]")  # what Markdown might take for its own
_FONT = (
    b"<</Type/Font/Subtype/Type0/BaseFont/Test/Encoding/Identity-H/ToUnicode 4 0 R/DescendantFonts["
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Test/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
    b"/Supplement 0>>/DW 1000/FontDescriptor<</Type/FontDescriptor/FontName/Test/Flags 4/Ascent 800"
    b"/Descent -200/CapHeight 700/ItalicAngle 0/StemV 80/FontBBox[0 -200 1000 800]>>>>]>>"
)


async def chunks_of(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Bytes as they come over the network."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def pdf(text: str | Sequence[Sequence[str]], *, encrypted: bool = False, content: bytes | None = None) -> bytes:
    """A PDF of a text, or of pages that are lines; `content` replaces the content stream of every page."""
    pages = _pages(text) if isinstance(text, str) else text
    letters = sorted({letter for page in pages for line in page for letter in line})
    codes = {letter: index + 1 for index, letter in enumerate(letters)}
    kids = " ".join(f"{5 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        _FONT,
        _stream(_to_unicode(codes)),
    ]
    for index, page in enumerate(pages):
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 800 800]/Contents {6 + 2 * index} 0 R"
            "/Resources<</Font<</F1 3 0 R>>>>>>".encode()
        )
        objects.append(_stream(content if content is not None else _lines(page, codes)))
    return assembled(objects, encrypted=encrypted)


def scan_pdf(width: int = 8, height: int = 8, gray: bytes | None = None) -> bytes:
    """A PDF of one page that is nothing but a picture: `gray` holds a byte a dot, row by row."""
    dots = zlib.compress(gray if gray is not None else bytes(width * height))
    picture = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % (
        width,
        height,
    )
    return assembled(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</XObject<</P 5 0 R>>>>>>",
            _stream(b"q 600 0 0 800 0 0 cm /P Do Q"),
            b"%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (picture, len(dots), dots),
        ]
    )


def encrypted_pdf() -> bytes:
    """A PDF that opens with a password only."""
    return pdf("비밀", encrypted=True)


def _pages(text: str) -> Sequence[Sequence[str]]:
    lines = text.split("\n")
    return [lines[start : start + _LINES_OF_A_PAGE] for start in range(0, len(lines), _LINES_OF_A_PAGE)]


def _lines(page: Sequence[str], codes: dict[str, int]) -> bytes:
    """What draws the lines; a page without any is a picture: one dark square."""
    if not page:
        return b"100 100 600 600 re f"
    shown = [
        f"BT /F1 12 Tf 1 0 0 1 40 {760 - 16 * row} Tm <{''.join(f'{codes[letter]:04x}' for letter in line)}> Tj ET"
        for row, line in enumerate(page)
    ]
    return "\n".join(shown).encode()


def _to_unicode(codes: dict[str, int]) -> bytes:
    mapped = "\n".join(f"<{code:04x}> <{letter.encode('utf-16-be').hex()}>" for letter, code in codes.items())
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /T def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(codes)} beginbfchar\n{mapped}\nendbfchar\nendcmap end end"
    ).encode()


def _stream(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(packed), packed)


def assembled(objects: Sequence[bytes], *, encrypted: bool = False) -> bytes:
    """A PDF of numbered objects, the first of which is its catalog."""
    out = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    lock = b""
    if encrypted:  # no password that anybody tries fits these digests
        lock = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]" % (b"11" * 32, b"22" * 32)
    out += b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, lock, start)
    return bytes(out)


def docx(text: str) -> bytes:
    """A DOCX with a paragraph for each line."""
    document = python_docx.Document()
    for line in text.split("\n"):
        document.add_paragraph(line)
    return _saved(document.save)


def word() -> bytes:
    """A DOCX with headings, paragraphs and a table."""
    document = python_docx.Document()
    document.add_heading("등장인물", level=1)
    document.add_heading("김도현", level=2)
    document.add_paragraph("서른두 살. 헌책방의 주인.")
    _fill(document.add_table(rows=2, cols=2), CELLS)
    document.add_heading("한지수", level=2)
    document.add_paragraph("편지를 찾는 사람.")
    return _saved(document.save)


def word_with(xml: bytes) -> bytes:
    """A DOCX whose main part is `xml`."""
    return repacked(word(), {"word/document.xml": xml})


def pptx(text: str) -> bytes:
    """A PPTX with a slide for each blank-line-separated part; its first line is the title."""
    parts = (part.partition("\n") for part in text.split("\n\n"))
    return slides([(title, body, "") for title, _, body in parts])


def slides(parts: Sequence[tuple[str, str, str]], *, cells: Sequence[Sequence[str]] | None = None) -> bytes:
    """A PPTX of slides with a title, a text and notes; the last one gets a table of `cells`."""
    deck = python_pptx.Presentation()
    for title, body, notes in parts:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    if cells is not None:
        shape = slide.shapes.add_table(len(cells), len(cells[0]), 0, 0, 100_000, 100_000)
        _fill(shape.table, cells)
    return _saved(deck.save)


def xlsx(text: str) -> bytes:
    """An XLSX of one sheet with a row for each line, and a cell for what tabs part."""
    return workbook({"글": [line.split("\t") for line in text.split("\n")]})


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """An XLSX of sheets by name, each of rows of cells."""
    saved = io.BytesIO()
    with xlsxwriter.Workbook(saved, {"in_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return saved.getvalue()


def html(text: str) -> bytes:
    """A web page with a paragraph for each line."""
    body = "".join(f"<p>{markup.escape(line)}</p>" for line in text.split("\n"))
    return f"<!doctype html><html lang=ko><head><title>글</title></head><body>{body}</body></html>".encode()


def hwpx(text: str) -> bytes:
    """An HWPX with a paragraph for each line that is not blank."""
    return hwpx_of("\n\n".join(_SIGNS.sub(r"\\\g<0>", line) for line in text.split("\n")))


def hwpx_of(markdown: str) -> bytes:
    """An HWPX of Markdown."""
    return hwpforge.convert_md(markdown).document.to_bytes()


def repacked(archive: bytes, parts: Mapping[str, bytes]) -> bytes:
    """A ZIP with some of its members replaced, or added."""
    rebuilt = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(rebuilt, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if entry.filename not in parts:
                target.writestr(entry, source.read(entry))
        for name, content in parts.items():
            target.writestr(name, content)
    return rebuilt.getvalue()


def written(folder: Path, content: bytes, name: str = "source") -> Path:
    """The content as a file."""
    path = folder / name
    path.write_bytes(content)
    return path


def _fill(table: Any, cells: Sequence[Sequence[str]]) -> None:
    for row, texts in zip(table.rows, cells, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    saved = io.BytesIO()
    save(saved)
    return saved.getvalue()
