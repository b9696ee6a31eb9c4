"""Reads one document and says what it holds as JSON on standard output.

`python -I -m generation_service.reader PATH TYPE LIMITS`; LIMITS is the JSON of `Limits`. An answer, good or
bad, ends with exit code 0; a signal means that the document was too much; any other code is our own failure.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from generation_service.reader.blocks import Block, Unreadable
from generation_service.reader.limits import Limits, confine

_MODULES = {"pdf": "pdf", "docx": "word", "txt": "plain", "md": "plain"}


def main(path: str, file_type: str, limits: str) -> int:
    """Answer for one document; 0 unless this program itself is broken."""
    bounds = Limits(**json.loads(limits))
    confine(bounds)
    # Imported once the limits hold, and outside what is caught: a missing parser is not the document's fault.
    module = importlib.import_module(f"generation_service.reader.{_MODULES[file_type]}")
    try:
        answer = json.dumps(_read(module, Path(path), file_type, bounds), ensure_ascii=False).encode()
    except Unreadable as error:
        answer = _refusal(error.code)
    except (MemoryError, RecursionError):
        answer = _refusal("too_complex")
    except Exception:  # noqa: BLE001 - parsers raise anything at all over a broken document, and this process is theirs
        answer = _refusal("unreadable")
    sys.stdout.buffer.write(answer)
    return 0


def _read(module: Any, path: Path, file_type: str, limits: Limits) -> dict[str, Any]:
    pages = None
    match file_type:
        case "pdf":
            blocks, pages = module.read(path, limits)
        case "docx":
            blocks = module.read(path, limits)
        case "md":
            blocks = module.read_markdown(path, limits)
        case _:
            blocks = module.read_text(path, limits)
    return {"blocks": [_row(block) for block in blocks], "pages": pages}


def _row(block: Block) -> list[Any]:
    return [block.text, block.heading, block.page]


def _refusal(code: str) -> bytes:
    return json.dumps({"error": code}).encode()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
