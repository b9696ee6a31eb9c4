"""The form of a program (multipart/form-data, RFC 7578), read from disk while it is sent, one file at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import uuid4

from generation_service.cli.folders import Named, in_utf8

_CHUNK_BYTES = 256 * 1024


class ProgramForm:
    """A body that can be sent again: each iteration begins at its beginning.

    `sent` is called with how many bytes of the files have been handed over since the last call.
    """

    def __init__(self, files: Sequence[Named], fields: Mapping[str, str], sent: Callable[[int], None]) -> None:
        self._files = files
        self._fields = fields
        self._sent = sent
        self._boundary = uuid4().hex
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    def __iter__(self) -> Iterator[bytes]:
        for name, value in self._fields.items():
            yield self._head(f'name="{name}"') + in_utf8(value).encode() + b"\r\n"
        for file in self._files:
            yield self._head(f'name="files"; filename="{_escaped(file.label)}"')
            with file.path.open("rb") as content:
                while chunk := content.read(_CHUNK_BYTES):
                    yield chunk
                    self._sent(len(chunk))
            yield b"\r\n"
        yield f"--{self._boundary}--\r\n".encode()

    def _head(self, disposition: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode(errors="replace")


def _escaped(name: str) -> str:
    """As browsers do it: nothing in a name can end it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
