"""The port of language models: a call with its material, and a reply that is read as it is written."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, Protocol

from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.model import Json, Usage
from generation_service.texts import Language

Task = Literal["external", "signals", "validation", "insight"]
Form = Literal["script", "report"]
SourceKind = Literal["request", "synopsis", "characters", "story", "notes", "episode", "external"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's JSON takes neither
_HANGUL = re.compile("[\u3130-\u318f\uac00-\ud7a3]+")
_CHARACTERS_A_TOKEN = 4  # of text in Latin letters; a Hangul syllable counts as one token


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A passage that may be quoted; `number` is what signals name it by, from 1."""

    number: int
    kind: SourceKind
    label: str
    text: str
    heading: str | None = None
    page: int | None = None

    @property
    def citation(self) -> str:
        """The mark that follows a quotation, such as `[notes.pdf, 2]` for its second page."""
        label = self.label.translate({ord("["): "(", ord("]"): ")"})
        return f"[{label}, {self.page}]" if self.page else f"[{label}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a call is about, in a form that a drafter without a language model can work from."""

    form: Form
    title: str
    facts: Mapping[str, str] = field(default_factory=dict)  # of the subject: name -> value, as shown
    sources: Sequence[Source] = ()
    people: Sequence[str] = ()  # those whom the request names
    signals: Sequence[Mapping[str, Json]] = ()
    scenes: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a model; `structured` asks for a JSON object, described in the messages."""

    job_id: str
    step: str
    attempt: int
    task: Task
    language: Language
    messages: Sequence[Message]
    material: Material
    max_output_tokens: int
    structured: bool = False

    @property
    def prompt_tokens(self) -> int:
        """An estimate of what the messages cost."""
        return sum(_tokens_of(message) for message in self.messages)

    def within(self, max_output_tokens: int) -> "ModelCall":
        """The same call with another limit."""
        return replace(self, max_output_tokens=max_output_tokens)


@dataclass(slots=True, kw_only=True)
class Reply:
    """The answer to one call: iterate it for the pieces of its text; the rest is known by then.

    `usage` may be asked for at any time, after a broken stream too: it is what the provider
    reported, else an estimate, and `estimated` says which.
    """

    model: str
    prompt_tokens: int
    pieces: AsyncIterator[str]
    text: str = ""
    truncated: bool = False
    reported: Usage | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        async for piece in self.pieces:
            clean = storable(piece)
            self.text += clean
            if clean:
                yield clean
        if not self.text.strip():
            raise TransientError("provider_empty", "the model answered without a word")

    @property
    def estimated(self) -> bool:
        return self.reported is None

    @property
    def usage(self) -> Usage:
        if self.reported is not None:
            return self.reported
        return Usage(input_tokens=self.prompt_tokens, output_tokens=estimated_tokens(self.text), model=self.model)


class LanguageModel(Protocol):
    """Anything that drafts text from messages or from material."""

    @property
    def generator(self) -> str:
        """What wrote the text, as every output records it."""

    @property
    def is_language_model(self) -> bool:
        """False for a drafter, which every output then says in words."""

    def open(self, call: ModelCall) -> AbstractAsyncContextManager[Reply]:
        """Begin a call; leaving the context ends it at once, whatever was read.

        Entering and reading raise TransientError and PermanentError with the codes of `llm.faults`.
        """

    async def aclose(self) -> None:
        """Give back connections; the model may not be called afterwards."""


def estimated_tokens(text: str) -> int:
    """Roughly how many tokens a model would count: one a Hangul syllable, one for four other characters."""
    hangul = 0 if text.isascii() else sum(map(len, _HANGUL.findall(text)))
    return hangul + (len(text) - hangul + _CHARACTERS_A_TOKEN - 1) // _CHARACTERS_A_TOKEN


def _tokens_of(message: Message) -> int:
    return _known_tokens(message.content) if message.role == "system" else estimated_tokens(message.content)


_known_tokens = lru_cache(maxsize=64)(estimated_tokens)  # what systems are told is the same in every call


def storable(text: str) -> str:
    """The text without what no database takes: half of a pair of surrogates, and NUL."""
    return _UNSTORABLE.sub("", text)


def bounded(wanted_tokens: int, prompt_tokens: int, tokens_left: int | None, least: int = 64) -> int:
    """How many tokens a call may write within its budget. Raises PermanentError where that is too few to begin."""
    if tokens_left is None:
        return wanted_tokens
    if tokens_left - prompt_tokens < least:
        raise PermanentError("budget_exceeded", "the job's token budget does not cover the next model call")
    return min(wanted_tokens, tokens_left - prompt_tokens)
