"""Parts of forms (multipart/form-data, RFC 7578), told one after the other as their bytes arrive."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from generation_service.errors import Refused

_WITHOUT_FILES = b"application/x-www-form-urlencoded"
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^';]*'([^;\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part: the name of its field, and of its file where it is one."""

    name: str
    file_name: str | None


PartEvent: TypeAlias = Part | bytes | None
"""A part begins; some of its bytes; it ends."""


async def parts_of(content_type: str | None, chunks: AsyncIterator[bytes]) -> AsyncIterator[PartEvent]:
    """What happens in a form, in order, as `chunks` of the request bring it; no more than one of them is held.

    An empty body is a form without parts, and so is the kind of form that clients send where there is no file.
    Raises Refused: `unsupported_media_type` (415), `malformed_multipart` (400; a form that was cut, too).
    """
    kind, options = parse_options_header(content_type)
    if kind == _WITHOUT_FILES:
        return
    boundary = options.get(b"boundary")
    empty = True
    try:
        reader = _PartReader(boundary) if kind == b"multipart/form-data" and boundary else None
        async for chunk in chunks:
            empty = empty and not chunk
            if reader is None and chunk:
                raise Refused("unsupported_media_type", 415, params={"expected": "multipart/form-data"})
            for event in reader.read(chunk) if reader and chunk else ():
                yield event
        for event in reader.finish() if reader and not empty else ():
            yield event
    except (FormParserError, ClientDisconnect) as error:
        raise malformed() from error


def malformed() -> Refused:
    """The refusal of a form that cannot be read."""
    return Refused("malformed_multipart", 400)


class _PartReader:
    """Takes the parser's callbacks, which may not wait, and hands on what they said after each chunk."""

    def __init__(self, boundary: bytes) -> None:
        self._events: list[PartEvent] = []
        self._header_name = self._header_value = self._disposition = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value_part,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._form_ends,
            },
        )

    def read(self, chunk: bytes) -> list[PartEvent]:
        """What this chunk brought. Raises FormParserError."""
        self._parser.write(chunk)
        told, self._events = self._events, []
        return told

    def finish(self) -> list[PartEvent]:
        """What was left at the end. Raises FormParserError where that is not behind the closing boundary."""
        self._parser.finalize()
        if not self._ended:
            raise FormParserError("the form ends before its closing boundary")
        return self._events

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_part(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        file_name = _extended_name(self._disposition)
        if file_name is None and b"filename" in options:
            file_name = options[b"filename"].decode("utf-8", "replace")
        self._events.append(Part(options.get(b"name", b"").decode("utf-8", "replace"), file_name))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_ends(self) -> None:
        self._events.append(None)

    def _form_ends(self) -> None:
        self._ended = True


def _extended_name(disposition: bytes) -> str | None:
    """The name in `filename*=UTF-8''...` (RFC 5987); None without one.

    RFC 7578 forbids it in forms and the parser drops it, but Python's requests with urllib3 1.x sends no
    other name where that is not ASCII: the file would be taken for a text.
    """
    found = _EXTENDED_NAME.search(_QUOTED.sub(b'""', disposition))
    return unquote_to_bytes(found.group(1)).decode("utf-8", "replace") if found else None
