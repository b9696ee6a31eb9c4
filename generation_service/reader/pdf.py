"""Reads a PDF with PDFium, page by page."""

import re
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
from pypdfium2 import raw

from generation_service.reader.blocks import Found, Gathering, Unreadable
from generation_service.reader.limits import Limits

_FULL_LINE = 0.8  # of the page's longest line: a line that long was wrapped, a shorter one has ended
_ENDED = re.compile(r"[.!?…。！？:;\"'”’」』)\]]\s*$")
_CODES = {raw.FPDF_ERR_PASSWORD: "encrypted", raw.FPDF_ERR_SECURITY: "encrypted"}


def read(path: Path, limits: Limits) -> Found:
    """The text of each page; there may be none on any of them. Raises Unreadable."""
    document = opened(path)
    pages = len(document)
    if pages > limits.max_pages:
        raise Unreadable("too_large")
    if not pages:
        raise Unreadable("unreadable")
    gathering = Gathering(limits.max_characters)
    pictures: list[int] = []
    for number, text, has_objects in _texts(document):
        gathering.add(text, page=number)
        if has_objects and not text.strip():
            pictures.append(number)
    return Found(gathering.finish(), pages, pictures)


def opened(path: Path) -> pypdfium2.PdfDocument:
    """The document. Raises Unreadable."""
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(_CODES.get(error.err_code, "unreadable")) from error


def _texts(document: pypdfium2.PdfDocument) -> Iterator[tuple[int, str, bool]]:
    """(number, text, whether anything at all is drawn) of each page."""
    for index in range(len(document)):
        page = document[index]
        text_page = page.get_textpage()
        text = text_page.get_text_range().replace("\r\n", "\n")
        yield index + 1, unwrapped(text), raw.FPDFPage_CountObjects(page) > 0
        text_page.close()
        page.close()


def unwrapped(text: str) -> str:
    """Join the lines that only the width of the page has parted."""
    lines = [line.strip() for line in text.split("\n")]
    full = max(map(len, lines)) * _FULL_LINE
    joined: list[str] = []
    wrapped = False
    for line in lines:
        if wrapped and line:
            joined[-1] = f"{joined[-1]} {line}"
        else:
            joined.append(line)
        wrapped = bool(line) and len(line) >= max(full, 20) and not _ENDED.search(line)
    return "\n".join(joined)
