"""Reads pages of a PDF that are pictures: PDFium draws them, and a program such as tesseract says what they say."""

import math
import subprocess
from pathlib import Path

import pypdfium2

from generation_service.reader.blocks import Found, Gathering, ReaderFailed, Unreadable
from generation_service.reader.limits import Limits, Scan, end_with_parent
from generation_service.reader.pdf import opened, unwrapped

_POINTS_PER_INCH = 72
_DOTS_PER_INCH = 300  # what tesseract was trained on
_MOST_DOTS = 12_000_000  # A4 has 8.7 million; a page may claim to be as large as a house
# One column of text. Left to find columns by itself, tesseract 5.3 lost half the lines of a Korean page.
_LAYOUT = ("--psm", "4")
_ENVIRONMENT = {"OMP_THREAD_LIMIT": "1"}  # its threads are slower than one, and there may be one on each core


def read(path: Path, limits: Limits, scan: Scan) -> Found:
    """What the pages say; there may be nothing. Raises Unreadable, and ReaderFailed where the program does not work."""
    document = opened(path)
    gathering = Gathering(limits.max_characters)
    for number in scan.pages:
        gathering.add(unwrapped(_recognised(_picture(document[number - 1]), scan)), page=number)
    return Found(gathering.finish(), len(document))


def _picture(page: pypdfium2.PdfPage) -> bytes:
    """The page in shades of gray, as a PGM."""
    width, height = page.get_size()
    scale = min(_DOTS_PER_INCH / _POINTS_PER_INCH, math.sqrt(_MOST_DOTS / max(1.0, width * height)))
    drawn = page.render(scale=scale, grayscale=True)
    dots = bytes(drawn.buffer)
    rows = (dots[start : start + drawn.width] for start in range(0, drawn.height * drawn.stride, drawn.stride))
    return b"P5 %d %d 255\n" % (drawn.width, drawn.height) + b"".join(rows)


def _recognised(picture: bytes, scan: Scan) -> str:
    answer = subprocess.run(  # noqa: S603 - the operator's own program; this process has no threads
        [*scan.command, "stdin", "stdout", "-l", scan.languages, *_LAYOUT],
        input=picture,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        preexec_fn=end_with_parent,
        check=False,
    )
    if answer.returncode < 0:
        raise Unreadable("too_complex")
    if answer.returncode > 0:
        raise ReaderFailed(f"{scan.command[0]} ended with exit code {answer.returncode}")
    return answer.stdout.decode("utf-8", "replace")
