"""Pages that are pictures: read where that is asked for and possible, within bounds, and told of otherwise."""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from generation_service.documents import Reading
from generation_service.documents.parsing import Ocr, Parser
from generation_service.errors import PermanentError, TransientError
from generation_service.reader.limits import Limits
from generation_service.retrieval import Indexer
from generation_service.settings import Settings
from tests.documents import files
from tests.documents.conftest import Library

ENGLISH = "The bookseller opens the door.\nIt is raining outside."
KOREAN = "도현이 먼지 쌓인 책을 정리한다.\n문이 열리고 지수가 들어온다."
HAS_TESSERACT = shutil.which("tesseract") is not None

Scanner = Callable[..., Parser]


@pytest.fixture
def scanner(tmp_path: Path, settings_for: Callable[..., Settings]) -> Scanner:
    """A parser with a program for OCR, given as Python source, or the real one where none is given."""

    def build(program: str | None = None, **given: object) -> Parser:
        if program is not None:
            source = tmp_path / "ocr.py"
            source.write_text(program)
            given["ocr_command"] = f"{sys.executable} -I {source}"
        return Parser.of(settings_for(**given))

    return build


def photographed(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> bytes:
    """A PDF of one page, scanned at 150 dots an inch."""
    width, height = 1240, 1650
    picture = Image.new("L", (width, height), 255)
    ImageDraw.Draw(picture).multiline_text((100, 100), text, font=font, fill=0, spacing=24)
    return files.scan_pdf(width, height, picture.tobytes())


async def verdict(parser: Parser, path: Path, **given: bool) -> str:
    with pytest.raises(PermanentError) as caught:
        await parser.parse(path, "pdf", **given)
    return caught.value.code


async def gone(program: str) -> None:
    """Wait until no process runs `program`."""
    async with asyncio.timeout(10):
        while any(program in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])):  # noqa: ASYNC110 - others end
            await asyncio.sleep(0.01)


SHOUTING = "import sys; sys.stdout.write('PAGE ' + sys.stdin.buffer.read(9).decode().split()[0])"
DOES_NOT_WORK = "import sys; sys.exit(1)"
SAYS_NOTHING = "import sys; sys.stdin.buffer.read()"
CRASHES = "import os; os.abort()"
SAYS_HOW = "import sys; sys.stdin.buffer.read(); print(*sys.argv[1:])"
HANGS = "import time; time.sleep(60)"


@pytest.mark.skipif(not HAS_TESSERACT, reason="tesseract is not installed")
async def test_tesseract_reads_a_scan(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, photographed(ENGLISH, ImageFont.load_default(size=36)))
    parsed = await scanner(ocr_languages="eng").parse(path, "pdf", use_multimodal=True)

    assert (parsed.pages, parsed.language, parsed.blocks[0].page) == (1, "en", 1)
    assert parsed.blocks[0].text.split() == ENGLISH.split()


@pytest.mark.skipif(not HAS_TESSERACT, reason="tesseract is not installed")
async def test_tesseract_reads_korean(scanner: Scanner, tmp_path: Path) -> None:
    try:
        font = ImageFont.truetype("NanumGothic.ttf", size=36)
    except OSError:
        pytest.skip("no Korean font is installed")
    path = files.written(tmp_path, photographed(KOREAN, font))
    try:
        parsed = await scanner().parse(path, "pdf", use_multimodal=True)
    except TransientError:
        pytest.skip("tesseract has no Korean")

    assert parsed.language == "ko"
    assert "정리한다" in parsed.blocks[0].text
    assert "들어온다" in parsed.blocks[0].text


async def test_a_scan_that_nobody_asked_to_recognise_needs_ocr(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, files.scan_pdf())

    assert await verdict(scanner(SHOUTING), path) == "needs_ocr"


async def test_a_scan_needs_ocr_where_there_is_none(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, files.scan_pdf())

    assert await verdict(scanner(ocr_command="no-such-program"), path, use_multimodal=True) == "needs_ocr"


async def test_pictures_are_read_in_their_place_among_the_pages(scanner: Scanner, tmp_path: Path) -> None:
    content = files.pdf([["첫 쪽."], [], ["셋째 쪽."]])
    parsed = await scanner(SHOUTING).parse(files.written(tmp_path, content), "pdf", use_multimodal=True)

    assert [(block.page, block.text) for block in parsed.blocks] == [(1, "첫 쪽."), (2, "PAGE P5"), (3, "셋째 쪽.")]


async def test_a_picture_that_says_nothing_is_unreadable(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, files.scan_pdf())

    assert await verdict(scanner(SAYS_NOTHING), path, use_multimodal=True) == "unreadable"


async def test_more_pictures_than_allowed_are_refused(scanner: Scanner, tmp_path: Path) -> None:
    content = files.pdf([[], [], []])
    path = files.written(tmp_path, content)

    assert await verdict(scanner(SHOUTING, ocr_max_pages=2), path, use_multimodal=True) == "too_large"


async def test_recognition_has_a_time_of_its_own(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, files.scan_pdf())

    assert await verdict(scanner(HANGS, ocr_wall_seconds=1.0), path, use_multimodal=True) == "too_complex"
    await gone(str(tmp_path / "ocr.py"))


async def test_two_scan_at_once_and_whoever_waits_too_long_is_told_to_come_again(tmp_path: Path) -> None:
    # Given two documents whose recognition hangs
    source, path = tmp_path / "ocr.py", files.written(tmp_path, files.scan_pdf())
    source.write_text(HANGS)
    parser = Parser(
        limits=Limits(memory_bytes=2**30, cpu_seconds=20, max_characters=1000, max_pages=5),
        wall_seconds=30.0,
        at_once=2,
        ocr=Ocr(command=shlex.join([sys.executable, "-I", str(source)]), wait_seconds=0.3),
    )
    hanging = [asyncio.create_task(parser.parse(path, "pdf", use_multimodal=True)) for _ in range(2)]
    async with asyncio.timeout(20):
        while running(str(source)) < 2:  # noqa: ASYNC110 - other processes start
            await asyncio.sleep(0.02)

    # When a third one comes
    with pytest.raises(TransientError) as caught:
        await parser.parse(path, "pdf", use_multimodal=True)

    # Then it fails for a reason that passes
    assert caught.value.code == "reader_busy"
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await gone(str(source))


def running(program: str) -> int:
    """How many processes run `program`."""
    return sum(program in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_a_command_with_an_open_quote_is_no_setting(settings_for: Callable[..., Settings]) -> None:
    with pytest.raises(ValidationError, match="each quote must be closed"):
        settings_for(ocr_command='tesseract "--psm 6')


async def test_a_recogniser_that_crashes_says_that_the_document_is_too_complex(
    scanner: Scanner, tmp_path: Path
) -> None:
    path = files.written(tmp_path, files.scan_pdf())

    assert await verdict(scanner(CRASHES), path, use_multimodal=True) == "too_complex"


async def test_a_recogniser_that_does_not_work_is_no_fault_of_the_document(scanner: Scanner, tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        await scanner(DOES_NOT_WORK).parse(files.written(tmp_path, files.scan_pdf()), "pdf", use_multimodal=True)

    assert caught.value.code == "reader_failed"


async def test_the_recogniser_is_told_the_languages(scanner: Scanner, tmp_path: Path) -> None:
    path = files.written(tmp_path, files.scan_pdf())
    parsed = await scanner(SAYS_HOW, ocr_languages="kor").parse(path, "pdf", use_multimodal=True)

    assert "stdin stdout -l kor" in parsed.blocks[0].text


@pytest.mark.parametrize("command", ["", "no-such-program --psm 6"])
def test_a_command_that_is_not_there_is_none(command: str) -> None:
    assert Ocr(command=command).found() is None


@pytest.mark.parametrize("asked", [True, False])
async def test_whoever_uploads_a_document_decides_whether_its_pictures_are_read(
    library: Library, scanner: Scanner, *, asked: bool
) -> None:
    accepted = await library.upload(files.scan_pdf(), "scan.pdf", use_multimodal=asked)
    reading = Reading(library.objects, scanner(SHOUTING), Indexer())

    try:
        told = [piece.text for piece in (await reading.read(accepted.document)).pieces]
    except PermanentError as error:
        told = [error.code]

    assert told == (["PAGE P5"] if asked else ["needs_ocr"])
