"""Forms with files: read as they arrive, one file at a time, the texts beside them in any order."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request

from generation_service.api.parts import Part, PartEvent, malformed, parts_of
from generation_service.api.problems import Invalid
from generation_service.api.spool import Spool, opened_spool
from generation_service.api.values import ValueProblem, value_problems
from generation_service.errors import Refused
from generation_service.pipeline.recipes import ProjectId
from generation_service.settings import MIB

_FILE_FIELDS = frozenset({"file"})
_PROGRAM_FIELDS = frozenset({"files", "files[]", "file"})  # what clients call them
_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 16 * 1024
_LINGER_SECONDS = 10.0
_PROJECT_ID: TypeAdapter[str] = TypeAdapter(ProjectId)
# As JSON, command lines and checkboxes of HTML say it.
_BOOLEAN = {**dict.fromkeys(("true", "1", "on", "yes"), True), **dict.fromkeys(("false", "0", "off", "no", ""), False)}

Fields = Mapping[str, str]
TakeFile = Callable[[str, Spool], Awaitable[None]]
"""Called with each file once it is whole: the name it was given, and what holds it."""


@dataclass(kw_only=True)
class Form:
    """A form with one file that was read to its end. `fields` are its texts by name."""

    fields: Fields = field(default_factory=dict)
    file: Spool
    file_name: str | None = None

    @property
    def has_file(self) -> bool:
        """Whether a file was chosen: a browser sends an empty one without a name where none was."""
        return self.file_name is not None and bool(self.file_name or self.file.size)


@asynccontextmanager
async def uploaded_form(request: Request, *, max_file_bytes: int) -> AsyncIterator[Form]:
    """Read the request's form; its file is gone when the context ends.

    Raises Refused: `unsupported_media_type` (415), `malformed_multipart` (400), `document_too_large` (413),
    `one_file_only` (422).
    """
    with opened_spool(max_file_bytes) as spool:
        form = Form(file=spool)

        async def take(name: str, _spool: Spool) -> None:
            if form.file_name is not None:
                raise Refused("one_file_only", 422)
            form.file_name = name

        too_large = Refused("document_too_large", 413, params={"megabytes": max_file_bytes // MIB})
        form.fields = await _Reader(spool, _FILE_FIELDS, take, too_large).read(request)
        yield form


async def read_program_form(request: Request, take: TakeFile, *, max_file_bytes: int) -> Fields:
    """Read a form with any number of files; `take` is awaited for each before the next one is read.

    Of a file that is too large the rest is dropped and `take` sees one byte more than may be. Raises
    Refused: `unsupported_media_type` (415), `malformed_multipart` (400), and what `take` raises.
    """
    with opened_spool(max_file_bytes) as spool:
        return await _Reader(spool, _PROGRAM_FIELDS, take).read(request)


class _Reader:
    """Sorts the parts of one form: files to the spool, texts to the fields, anything else to nowhere."""

    def __init__(
        self, spool: Spool, file_fields: frozenset[str], take: TakeFile, too_large: Refused | None = None
    ) -> None:
        self._spool = spool
        self._file_fields = file_fields
        self._take = take
        self._too_large = too_large
        self._part = Part("", None)
        self._text = bytearray()
        self._fields: dict[str, str] = {}
        self._other_parts = 0

    async def read(self, request: Request) -> Fields:
        chunks = request.stream()
        try:
            async for event in parts_of(request.headers.get("content-type"), chunks):
                await self._notice(event)
        except Refused:
            await _linger(chunks)
            raise
        return self._fields

    async def _notice(self, event: PartEvent) -> None:
        if isinstance(event, Part):
            await self._begin(event)
        elif event is None:
            await self._end()
        else:
            await self._add(event)

    @property
    def _is_taken(self) -> bool:
        return self._part.file_name is not None and self._part.name in self._file_fields

    async def _begin(self, part: Part) -> None:
        self._part, self._text = part, bytearray()
        if self._is_taken:
            await self._spool.begin()
            return
        self._other_parts += 1
        if self._other_parts > _MOST_FIELDS:
            raise malformed()

    async def _add(self, content: bytes) -> None:
        if self._is_taken:
            await self._spool.add(content)
            if self._too_large is not None and self._spool.over:
                raise self._too_large
        elif self._part.file_name is None:
            if len(self._text) + len(content) > _MOST_FIELD_BYTES:
                raise malformed()
            self._text += content

    async def _end(self) -> None:
        if self._is_taken:
            await self._take(self._part.file_name or "", self._spool)
        elif self._part.file_name is None:
            self._fields[self._part.name] = self._text.decode("utf-8", "replace")


async def _linger(chunks: AsyncIterator[bytes]) -> None:
    """Read on for a while and drop it: whoever is still sending when the connection closes may lose the answer."""
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for _ in chunks:
                pass


class Checked:
    """Takes the values of a form's fields out of it, and gathers what is wrong with them."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.problems: list[ValueProblem] = []

    def project_id(self, *, required: bool) -> str | None:
        """The field `container_id`; None where it is left out and not required, or not taken."""
        given = self._fields.get("container_id")
        if given is None or (not given and not required):
            if required:
                self.problems.append(ValueProblem("container_id", "missing"))
            return None
        try:
            return _PROJECT_ID.validate_python(given)
        except ValidationError as error:
            found = value_problems(dict(one) for one in error.errors(include_url=False, include_input=False))
            self.problems += [ValueProblem("container_id", one.code, one.params) for one in found]
            return None

    def use_multimodal(self) -> bool:
        """The field `use_multimodal`; false where it is left out."""
        given = _BOOLEAN.get(self._fields.get("use_multimodal", "").strip().lower())
        if given is None:
            self.problems.append(ValueProblem("use_multimodal", "wrong_type", (("expected", "boolean"),)))
        return bool(given)

    def user_id(self, pattern: str, most: int) -> str:
        """The field `user_id`."""
        given = self._fields.get("user_id", "")
        if not re.fullmatch(pattern, given):
            self.problems.append(ValueProblem("user_id", "wrong_pattern"))
        if len(given) > most:
            self.problems.append(ValueProblem("user_id", "too_long", (("limit", str(most)),)))
        return given

    def refuse(self) -> None:
        """Raise Invalid where anything was wrong."""
        if self.problems:
            raise Invalid(self.problems)
