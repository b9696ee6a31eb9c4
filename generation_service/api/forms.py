"""Forms with one file (multipart/form-data, RFC 7578), parsed as they arrive; the file goes to disk."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from generation_service.errors import Refused
from generation_service.settings import MIB

_FILE_FIELD = "file"
_CHUNK_BYTES = MIB
_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 16 * 1024
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^';]*'([^;\s]*)", re.IGNORECASE)


@dataclass(kw_only=True)
class Form:
    """A form that was read to its end. `fields` are its texts by name, `file` is at its beginning."""

    fields: dict[str, str] = field(default_factory=dict)
    file: IO[bytes]
    file_name: str | None = None
    file_size: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, a mebibyte at a time."""
        while chunk := await asyncio.to_thread(self.file.read, _CHUNK_BYTES):
            yield chunk


@asynccontextmanager
async def uploaded_form(request: Request, *, max_file_bytes: int) -> AsyncIterator[Form]:
    """Read the request's form; its file is gone when the context ends.

    Raises Refused: `unsupported_media_type` (415), `malformed_multipart` (400), `document_too_large` (413).
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused("unsupported_media_type", 415, params={"expected": "multipart/form-data"})
    with tempfile.TemporaryFile() as file:
        reader = _FormReader(Form(file=file), max_file_bytes)
        try:
            await reader.read(request.stream(), boundary)
        except (FormParserError, ClientDisconnect, ValueError) as error:
            raise Refused("malformed_multipart", 400) from error
        yield reader.form


class _FormReader:
    """Takes the parser's callbacks, which may not wait, and writes the file's bytes in between."""

    def __init__(self, form: Form, max_file_bytes: int) -> None:
        self.form = form
        self._max_file_bytes = max_file_bytes
        self._header_name = self._header_value = self._disposition = b""
        self._name = ""
        self._is_file = False
        self._text = bytearray()
        self._pending = bytearray()
        self._ended = False

    async def read(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        """Read to the closing boundary. Raises ValueError where the form ends before it."""
        parser = MultipartParser(
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
        async for chunk in chunks:
            parser.write(chunk)
            if len(self._pending) >= _CHUNK_BYTES:
                await self._write()
        parser.finalize()
        if not self._ended:
            raise ValueError("the form ends before its closing boundary")
        await self._write()
        self.form.file.seek(0)

    async def _write(self) -> None:
        taken, self._pending = self._pending, bytearray()
        await asyncio.to_thread(self.form.file.write, taken)

    def _part_begins(self) -> None:
        self._disposition = b""
        self._text = bytearray()

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
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = _extended_name(self._disposition)
        if file_name is None and b"filename" in options:
            file_name = options[b"filename"].decode("utf-8", "replace")
        self._is_file = file_name is not None
        if self._is_file and self._name == _FILE_FIELD:
            if self.form.file_name is not None:
                raise ValueError("more than one file")
            self.form.file_name = file_name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            if len(self._text) + end - start > _MOST_FIELD_BYTES:
                raise ValueError("a field is too long")
            self._text += data[start:end]
        elif self._name == _FILE_FIELD:
            self.form.file_size += end - start
            if self.form.file_size > self._max_file_bytes:
                raise Refused("document_too_large", 413, params={"megabytes": self._max_file_bytes // MIB})
            self._pending += data[start:end]

    def _part_ends(self) -> None:
        if not self._is_file:
            if len(self.form.fields) >= _MOST_FIELDS:
                raise ValueError("too many fields")
            self.form.fields[self._name] = self._text.decode("utf-8", "replace")

    def _form_ends(self) -> None:
        self._ended = True


def _extended_name(disposition: bytes) -> str | None:
    """The name in `filename*=UTF-8''...` (RFC 5987); None without one.

    RFC 7578 forbids it in forms and the parser drops it, but Python's requests with urllib3 1.x sends no
    other name where that is not ASCII: the file would be taken for a text.
    """
    found = _EXTENDED_NAME.search(_QUOTED.sub(b'""', disposition))
    return unquote_to_bytes(found.group(1)).decode("utf-8", "replace") if found else None
