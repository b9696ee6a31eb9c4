"""Parsing: each document in a child process of its own, with limits, and killed with all its descendants."""

import asyncio
import json
import math
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from generation_service.documents.model import FileType
from generation_service.errors import PermanentError, TransientError
from generation_service.reader.blocks import Block, Found
from generation_service.reader.limits import Limits, Scan
from generation_service.settings import Settings

PARSER = "2"  # a change in what is read of a file is a new number, and with it new chunks
_COMMAND = (sys.executable, "-I", "-m", "generation_service.reader")
_ANSWER_BYTES = 16  # of JSON for each character of text, at the very most
_SCANS_AT_ONCE = 2  # of one process: each keeps a core busy for minutes
_PIECE = 256 * 1024
_GONE_SECONDS = 5.0  # what was killed is gone within this time
_STARVED = 0.5  # of its processor time: a child whose time is over before it got so much had to wait for others
_SAMPLE = 2_000  # characters of each block are enough to know its language
# Sent by an operator or by a system short of memory: not the document's doing.
_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})

_MESSAGES = {
    "encrypted": "the document is protected by a password",
    "needs_ocr": "the pages hold images of text, but no text",
    "unreadable": "the document is broken, or holds no text",
    "too_large": "the document has too many pages or cells, or too much text, or falls into too many parts",
    "archive_bomb": "the file unpacks to far more than it should",
    "too_complex": "reading the document took more memory or time than one document may have",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The text of a document, its pages (None where the type has none) and its language, `ko` or `en`, if clear."""

    blocks: Sequence[Block]
    pages: int | None
    language: str | None

    @property
    def characters(self) -> int:
        return sum(len(block.text) for block in self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ocr:
    """The program that reads pictures of text, and what it may use over one document."""

    command: str = "tesseract"
    languages: str = "kor+eng"
    max_pages: int = 100
    wall_seconds: float = 300.0
    wait_seconds: float = 1_200.0  # for its turn; with the run itself it stays below a step's time-out

    def found(self) -> Sequence[str] | None:
        """The command with the program's whole path, as the child knows no PATH; None where there is none."""
        program, *arguments = shlex.split(self.command) or [""]
        path = shutil.which(program)
        return None if path is None else [path, *arguments]


class Parser:
    """Reads files, a bounded number at once on one event loop."""

    def __init__(
        self,
        *,
        limits: Limits,
        wall_seconds: float,
        at_once: int,
        ocr: Ocr | None = None,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._limits = limits
        self._wall_seconds = wall_seconds
        self._ocr = ocr or Ocr()
        self._turns = asyncio.Semaphore(at_once)
        self._scans = asyncio.Semaphore(_SCANS_AT_ONCE)
        self._command = tuple(command)

    @classmethod
    def of(cls, settings: Settings) -> "Parser":
        limits = Limits(
            memory_bytes=settings.parse_memory_bytes,
            cpu_seconds=settings.parse_cpu_seconds,
            max_characters=settings.parse_max_characters,
            max_pages=settings.parse_max_pages,
        )
        ocr = Ocr(
            command=settings.ocr_command,
            languages=settings.ocr_languages,
            max_pages=settings.ocr_max_pages,
            wall_seconds=settings.ocr_wall_seconds,
        )
        return cls(limits=limits, wall_seconds=settings.parse_wall_seconds, at_once=settings.parse_concurrency, ocr=ocr)

    async def parse(self, path: Path, file_type: FileType, *, use_multimodal: bool = False) -> Parsed:
        """Read the file at `path`; its pages that are pictures too, where `use_multimodal` asks and OCR is there.

        Raises PermanentError with the code that the document gets: `encrypted`, `needs_ocr`,
        `unreadable`, `too_large`, `archive_bomb`, `too_complex`. Raises TransientError where the
        child failed for no fault of the document, and `reader_busy` where other scans left it no turn.
        """
        async with self._turns:
            answer = await self._ask(path, file_type)
        found = await asyncio.to_thread(_found, answer)
        if use_multimodal and found.pictures and (command := self._ocr.found()):
            found = await self._scanned(path, found, command)
        elif not found.blocks:
            raise refusal("needs_ocr")
        return await asyncio.to_thread(_parsed, found)

    async def _scanned(self, path: Path, found: Found, command: Sequence[str]) -> Found:
        """What was found, with what the pictures among the pages say."""
        if len(found.pictures) > self._ocr.max_pages:
            raise refusal("too_large")
        scan = Scan(command=command, languages=self._ocr.languages, pages=found.pictures)
        async with self._scanning():
            answer = await self._ask(path, "pdf", scan)
        recognised = await asyncio.to_thread(_found, answer)
        blocks = sorted((*found.blocks, *recognised.blocks), key=lambda block: block.page or 0)
        if not blocks:
            raise refusal("unreadable")
        return replace(found, blocks=blocks)

    @asynccontextmanager
    async def _scanning(self) -> AsyncIterator[None]:
        """A turn to scan. Raises TransientError in time for the step to say so, instead of being timed out."""
        try:
            await asyncio.wait_for(self._scans.acquire(), self._ocr.wait_seconds)
        except TimeoutError as error:
            raise TransientError("reader_busy", "too many scanned documents were waiting to be read") from error
        try:
            yield
        finally:
            self._scans.release()

    async def _ask(self, path: Path, file_type: FileType, scan: Scan | None = None) -> bytes:
        wall_seconds, limits = self._wall_seconds, self._limits
        if scan is not None:
            wall_seconds = self._ocr.wall_seconds
            limits = replace(limits, cpu_seconds=math.ceil(wall_seconds))
        asked = [json.dumps(asdict(part)) for part in (limits, scan) if part is not None]
        child = await asyncio.create_subprocess_exec(
            *(*self._command, str(path), file_type, *asked),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(wall_seconds):
                answer = await _read(child, self._limits.max_characters * _ANSWER_BYTES + _PIECE)
                code = await child.wait()
        except TimeoutError as error:
            if scan is None and _cpu_seconds(child.pid) < limits.cpu_seconds * _STARVED:
                raise TransientError("reader_starved", "the machine was too busy to read the document") from error
            raise refusal("too_complex") from error
        finally:
            await _end(child)
        _check_exit(code)
        return answer


def refusal(code: str) -> PermanentError:
    """The error that a document with this verdict ends in."""
    return PermanentError(code, _MESSAGES[code])


async def _read(child: asyncio.subprocess.Process, most: int) -> bytes:
    """All that the child says. Raises PermanentError where that is beyond any honest answer."""
    assert child.stdout is not None  # noqa: S101 - asked for a pipe
    answer = bytearray()
    while piece := await child.stdout.read(_PIECE):
        answer += piece
        if len(answer) > most:
            raise refusal("too_complex")
    return bytes(answer)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Leave nothing of the child's session behind, whatever happened, cancellation included."""
    with suppress(ProcessLookupError):  # the group is gone when its last member is
        os.killpg(child.pid, signal.SIGKILL)
    # An unread pipe would keep the transport open; one that outlives its group is not waited for.
    with suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            while child.stdout is not None and await child.stdout.read(_PIECE):
                pass
            await child.wait()


def _cpu_seconds(pid: int) -> float:
    """What a process has used of the processor; 0 where nobody knows."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _check_exit(code: int) -> None:
    if code in _FROM_OUTSIDE:
        raise TransientError("reader_killed", "the process that read the document was ended from outside")
    if code < 0:
        raise refusal("too_complex")
    if code > 0:
        raise TransientError("reader_failed", f"the program that reads documents ended with exit code {code}")


def _found(answer: bytes) -> Found:
    told = json.loads(answer)
    if "error" in told:
        raise refusal(told["error"])
    blocks = [Block(text, heading, page) for text, heading, page in told["blocks"]]
    return Found(blocks, told["pages"], told["pictures"])


def _parsed(found: Found) -> Parsed:
    return Parsed(blocks=found.blocks, pages=found.pages, language=language_of(block.text for block in found.blocks))


def language_of(texts: Iterable[str]) -> str | None:
    """`ko` where a fifth of the letters is Hangul, as Latin names abound in Korean; else `en` if most are Latin."""
    hangul = latin = letters = 0
    for text in texts:
        for character in text[:_SAMPLE]:
            if character.isalpha():
                letters += 1
                hangul += "가" <= character <= "힣"
                latin += character < "\u0250"
    if not letters:
        return None
    if hangul >= letters / 5:
        return "ko"
    return "en" if latin > letters / 2 else None
