"""Reads one document and says what it holds as JSON on standard output.

`python -I -m generation_service.reader PATH TYPE LIMITS [SCAN]`; LIMITS is the JSON of `Limits`, SCAN that of
`Scan`: pages of a PDF to be read as pictures. An answer, good or bad, ends with exit code 0; a signal means that
the document was too much; any other code is our own failure.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from generation_service.reader.blocks import ReaderFailed, Unreadable
from generation_service.reader.limits import Limits, Scan, confine

# Each takes the path and the limits, and gives `Found`.
_READERS = {
    "pdf": "pdf.read",
    "docx": "word.read",
    "pptx": "slides.read",
    "xlsx": "sheets.read",
    "html": "web.read",
    "hwp": "hangul.read_hwp",
    "hwpx": "hangul.read_hwpx",
    "txt": "plain.read_text",
    "md": "plain.read_markdown",
}


def main(path: str, file_type: str, limits: str, scan: str | None = None) -> int:
    """Answer for one document; 0 unless this program itself is broken."""
    bounds = Limits(**json.loads(limits))
    confine(bounds)
    # Imported once the limits hold, and outside what is caught: a missing parser is not the document's fault.
    module, function = _READERS[file_type].split(".") if scan is None else ("pictures", "read")
    read = getattr(importlib.import_module(f"generation_service.reader.{module}"), function)
    given = (Path(path), bounds) if scan is None else (Path(path), bounds, Scan(**json.loads(scan)))
    sys.stdout.buffer.write(_answer(read, given))
    return 0


def _answer(read: Any, given: tuple[Any, ...]) -> bytes:
    try:
        return json.dumps(read(*given).described(), ensure_ascii=False).encode()
    except Unreadable as error:
        return _refusal(error.code)
    except (MemoryError, RecursionError):
        return _refusal("too_complex")
    except ReaderFailed:
        raise
    except BaseException:  # noqa: BLE001 - parsers raise anything at all over a broken document, panics of Rust included
        return _refusal("unreadable")


def _refusal(code: str) -> bytes:
    return json.dumps({"error": code}).encode()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
