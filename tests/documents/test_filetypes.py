"""Types of files: told by their bytes, however these arrive."""

import pytest

from generation_service.documents.filetypes import Sniffer, sniffed
from generation_service.errors import Refused
from tests.documents import files

EXECUTABLE = b"\x7fELF\x02\x01\x01" + bytes(200)
WINDOWS_PROGRAM = b"MZ\x90\x00\x03\x00\x00\x00" + bytes(200)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
WITH_SHEET = files.repacked(files.docx("글"), {"word/embeddings/sheet.xlsx": files.xlsx("글")})
DRAWING = files.repacked(files.docx("글"), {"mimetype": b"application/vnd.oasis.opendocument.graphics"})
OTHER_ZIP = DRAWING.replace(b"word/document", b"what/document")
LOCKED = files.compound({"EncryptedPackage": b"x", "EncryptionInfo": b"x"})
OLD_DOC = files.compound({"WordDocument": b"The HWP document file" * 300})


async def type_of(content: bytes, name: str, piece: int) -> str | None:
    sniffer = Sniffer()
    passed = [chunk async for chunk in sniffed(files.chunks_of(content, piece), sniffer, name)]
    assert b"".join(passed) == content
    return sniffer.file_type(name)


@pytest.mark.parametrize("piece", [3, 64 * 1024])
@pytest.mark.parametrize(
    ("content", "name", "file_type"),
    [
        (files.pdf([["글"]]), "no-extension", "pdf"),
        (b"\xef\xbb\xbf\n%PDF-1.4 late", "x.txt", "pdf"),
        (files.word(), "x.pdf", "docx"),
        (files.word()[:-200], "x.docx", "docx"),
        (WITH_SHEET, "x.xlsx", "docx"),
        (files.pptx("글"), "x.docx", "pptx"),
        (files.pptx("글")[:-200], "x.pptx", "pptx"),
        (files.xlsx("글"), "x.txt", "xlsx"),
        (files.hwpx("글"), "x.zip", "hwpx"),
        (files.repacked(files.hwpx("글"), {"mimetype": b"application/hwp+zip"}), "x.zip", "hwpx"),
        (files.hwp("글"), "x.doc", "hwp"),
        (files.hwp("글" * 3000), "x", "hwp"),
        (LOCKED, "x.docx", "docx"),
        (LOCKED, "x.PPTX", "pptx"),
        (LOCKED, "x.xlsx", "xlsx"),
        (LOCKED, "x.doc", "docx"),
        (files.html("글"), "x.txt", "html"),
        (files.html("글").decode().encode("utf-16"), "x", "html"),
        (files.html("글").decode().encode("cp949"), "x", "html"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- saved --><HTML lang=ko>", "x", "html"),
        ("<p>조각</p>".encode(), "x.HTM", "html"),
        ("<p>조각</p>".encode(), "x.md", "md"),
        ("<조각> 1 < 2".encode(), "x.html", "txt"),
        ("글 <html> 글".encode(), "x.txt", "txt"),
        ("글".encode(), "../../x.txt", "txt"),
        ("글".encode(), "x.md", "md"),
        ("글".encode(), "x.MARKDOWN", "md"),
        ("글".encode("cp949"), "x.pdf", "txt"),
        ("글이다".encode("utf-16"), "x", "txt"),
        ("글이다".encode("utf-32"), "x", "txt"),
        (("글\U00020000" * 20_000).encode("utf-16"), "long.txt", "txt"),
        ("MZ세대의 이야기".encode(), "x.txt", "txt"),
    ],
)
async def test_the_type_is_told_by_the_bytes(content: bytes, name: str, file_type: str, piece: int) -> None:
    assert await type_of(content, name, piece) == file_type


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        pytest.param(b"", "document_empty", 422, id="empty"),
        pytest.param(EXECUTABLE, "document_type_not_taken", 415, id="a renamed executable"),
        pytest.param(WINDOWS_PROGRAM, "document_type_not_taken", 415, id="a renamed Windows program"),
        pytest.param(b"#!/bin/sh\nrm -rf /\n", "document_type_not_taken", 415, id="a shell script"),
        pytest.param(PNG, "document_type_not_taken", 415, id="an image"),
        pytest.param(OTHER_ZIP, "document_type_not_taken", 415, id="another kind of ZIP"),
        pytest.param(b"{\\rtf1 hello}", "document_type_not_taken", 415, id="rich text"),
        pytest.param(OLD_DOC, "document_type_not_taken", 415, id="an old DOC"),
        pytest.param(bytes.fromhex("d0cf11e0a1b11ae1"), "document_type_not_taken", 415, id="a cut compound file"),
        pytest.param("글\x00자".encode("utf-16"), "document_type_not_taken", 415, id="controls in UTF-16"),
    ],
)
async def test_what_is_not_taken_is_refused_at_its_end(content: bytes, code: str, status: int) -> None:
    with pytest.raises(Refused) as caught:
        await type_of(content, "report.pdf", 64)

    assert (caught.value.code, caught.value.status) == (code, status)
