"""Files as people bring them, good and bad, made anew for each test."""

import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import docx

SCRIPT = """기획의도

골목 끝 헌책방을 지키는 사람들의 이야기.

S#1. 헌책방 / 낮
도현이 먼지 쌓인 책을 정리한다. 문이 열리고 지수가 들어온다.
지수\t이 책, 아직 팔아요?

S#2. 아리랑 극장 / 밤
정전. 관객들이 웅성거린다. 2024. 3. 4. 날짜가 적힌 표가 떨어진다.
"""


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


def pdf(pages: Sequence[Sequence[str]], *, encrypted: bool = False, content: bytes | None = None) -> bytes:
    """A PDF with one line of text per string; `content` replaces the content stream of every page."""
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
    return _assembled(objects, encrypted=encrypted)


def _lines(page: Sequence[str], codes: dict[str, int]) -> bytes:
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


def _assembled(objects: Sequence[bytes], *, encrypted: bool) -> bytes:
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


def word() -> bytes:
    """A DOCX with headings, paragraphs and a table."""
    document = docx.Document()
    document.add_heading("등장인물", level=1)
    document.add_heading("김도현", level=2)
    document.add_paragraph("서른두 살. 헌책방의 주인.")
    table = document.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("장소", "시간"), ("헌책방", "낮")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_heading("한지수", level=2)
    document.add_paragraph("편지를 찾는 사람.")
    saved = io.BytesIO()
    document.save(saved)
    return saved.getvalue()


def word_with(xml: bytes) -> bytes:
    """A DOCX whose main part is `xml`."""
    rebuilt = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word())) as source, zipfile.ZipFile(rebuilt, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry, xml if entry.filename == "word/document.xml" else source.read(entry))
    return rebuilt.getvalue()


def written(folder: Path, content: bytes, name: str = "source") -> Path:
    """The content as a file."""
    path = folder / name
    path.write_bytes(content)
    return path
