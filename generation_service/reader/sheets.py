"""Reads an XLSX sheet by sheet, row by row, once it is known how much of each sheet is used."""

import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from xml.parsers import expat

from python_calamine import CalamineWorkbook, SheetTypeEnum

from generation_service.reader import archive
from generation_service.reader.blocks import Found, Gathering, Unreadable, row_of, some
from generation_service.reader.limits import Limits

_MOST_CELLS = 5_000_000  # between a sheet's corners: the reader of cells makes room for each, empty or not
_PIECE = 64 * 1024
_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_ROWS_AT_ONCE = 1_000


def read(path: Path, limits: Limits) -> Found:
    """The rows of each sheet under its name; the sheet's number is the page. Raises Unreadable."""
    archive.check(path)
    _check_sizes(path)
    gathering = Gathering(limits.max_characters)
    with path.open("rb") as file:
        book = CalamineWorkbook.from_filelike(file)
        names = [sheet.name for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        if len(names) > limits.max_pages:
            raise Unreadable("too_large")
        for number, name in enumerate(names, start=1):
            for table in _tables(book.get_sheet_by_name(name).iter_rows()):
                gathering.add(table, name, number)
    return Found(some(gathering), len(names))


def _tables(rows: Iterator[Sequence[object]]) -> Iterator[str]:
    """Rows that stand together, a line each; in portions, so that a limit is met before all are gathered."""
    lines: list[str] = []
    for row in rows:
        line = row_of([_text(cell) for cell in row])
        if line:
            lines.append(line)
        if lines and (not line or len(lines) == _ROWS_AT_ONCE):
            yield "\n".join(lines)
            lines = []
    yield "\n".join(lines)


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return f"{cell:.0f}"
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ", timespec="minutes") if cell.time() != dt.time() else str(cell.date())
    return str(cell)


def _check_sizes(path: Path) -> None:
    """Raise Unreadable `too_large` where a sheet is too wide and too long at once, whatever it says of itself.

    Any member may be a sheet, for a workbook names its sheets as it likes.
    """
    with zipfile.ZipFile(path) as opened:
        for entry in opened.infolist():
            with opened.open(entry) as member:
                _check_size(member)


def _check_size(member: IO[bytes]) -> None:
    used = _Used()
    parser = expat.ParserCreate()
    parser.StartElementHandler = used.on_start
    try:
        while used.is_sheet is not False and (piece := member.read(_PIECE)):
            parser.Parse(piece, False)  # noqa: FBT003 - takes it by place only
    except (expat.ExpatError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if used.is_sheet:
            raise Unreadable("unreadable") from error


class _Used:
    """The corners of the cells that hold anything; a cell without a place stands right of the one before it."""

    def __init__(self) -> None:
        self.is_sheet: bool | None = None  # None: nobody knows yet
        self._row = self._column = 0
        self._bounds: tuple[int, int, int, int] | None = None

    def on_start(self, name: str, attributes: dict[str, str]) -> None:
        """Take notice of an element. Raises Unreadable `too_large`."""
        local = name.rpartition(":")[2]
        if self.is_sheet is None:
            self.is_sheet = local == "worksheet"
        match local:
            case "row":
                given = attributes.get("r", "")
                self._row = int(given) if given.isdecimal() else self._row + 1
                self._column = 0
            case "c":
                self._column += 1
                place = _PLACE.fullmatch(attributes.get("r", "").upper())
                if place:
                    self._row, self._column = int(place.group(2)), _number_of(place.group(1))
            case "v" | "is" | "f":
                self._mark()

    def _mark(self) -> None:
        row, column = self._row, self._column
        top, left, bottom, right = self._bounds or (row, column, row, column)
        self._bounds = top, left, bottom, right = min(top, row), min(left, column), max(bottom, row), max(right, column)
        if (bottom - top + 1) * (right - left + 1) > _MOST_CELLS:
            raise Unreadable("too_large")


def _number_of(letters: str) -> int:
    """The column's number: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
