"""What a recipe is: its request, its brief, its prompts, and the signals it looks for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from generation_service.jobs.model import Json, Priority
from generation_service.llm import Form, Task
from generation_service.texts import Language

# Lengths are in characters. No control characters anywhere; line breaks and tabs in longer texts only.
_LINE = r"^[^\x00-\x1f\x7f]*$"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
PROJECT_ID_PATTERN = r"^[A-Za-z0-9가-힣_][A-Za-z0-9가-힣_.:@-]*$"

# An id is compared, so nothing of it is stripped.
ProjectId = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=PROJECT_ID_PATTERN, strip_whitespace=False)
]
Title = Annotated[str, Field(min_length=1, max_length=500, pattern=_LINE)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=_LINE)]
ShortText = Annotated[str, Field(max_length=1_000, pattern=_LINE)]
LongText = Annotated[str, Field(max_length=20_000, pattern=_TEXT)]


class Input(BaseModel):
    """A part of a request: unknown fields and values of other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, frozen=True)


class GenerationRequest(Input):
    """What every generation request has, whatever its recipe; a recipe adds its own input."""

    project_id: ProjectId
    recipe: str = Field("script", max_length=64)
    priority: Priority = "default"
    max_attempts: int | None = Field(None, ge=1, le=100)
    budget_tokens: int | None = Field(None, ge=1, le=10**12)

    def stored(self) -> dict[str, Json]:
        """The recipe's own input, as the job keeps it."""
        common = set(GenerationRequest.model_fields)
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in common}


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a request asks for, in words of one language."""

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)  # of the subject: name -> value, as shown
    people: Sequence[str] = ()
    scenes: int = 5
    instructions: str = ""
    written: Sequence[tuple[str, str]] = ()  # the caller's own texts: name, text


def _numbers(value: object) -> object:
    """Source numbers in whatever way a model writes them: 2, "2", "[2]", "S2"."""
    items = value if isinstance(value, list) else [value]
    digits = ["".join(character for character in str(item) if character.isdecimal()) for item in items]
    return [int(number) for number in digits if number]


class Signal(BaseModel):
    """One thing that was learned, with the numbers of the sources that say it. Models' answers are read leniently."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    id: str = ""
    text: str = Field("", max_length=4_000)
    sources: Annotated[list[int], BeforeValidator(_numbers)] = []

    @property
    def about(self) -> str:
        """What two signals must share to be the same."""
        return self.text


class Recipe(ABC):
    """One thing that can be generated. Stateless: the same for every job."""

    name: ClassVar[str]
    form: ClassVar[Form]
    request: ClassVar[type[GenerationRequest]]
    input_field: ClassVar[str | None] = (
        None  # of a request, which holds the recipe's own input; None: the request itself
    )
    signal: ClassVar[type[Signal]]
    prompts: ClassVar[Mapping[Task, Mapping[Language, str]]]
    searches_with_model: ClassVar[bool] = False
    formats: ClassVar[tuple[str, ...]] = ("markdown", "docx", "json")

    def validate(self, body: Mapping[str, Any]) -> GenerationRequest:
        """Check a request body as it came. Raises pydantic's ValidationError."""
        return self.request.model_validate(body)

    @property
    def needs_title(self) -> bool:
        """Whether the input must have a title."""
        own = self.request.model_fields[self.input_field].annotation if self.input_field else self.request
        title = getattr(own, "model_fields", {}).get("title")
        return title is not None and title.is_required()

    @abstractmethod
    def language(self, request: Mapping[str, Json]) -> Language | None:
        """The language that the caller asked for; None: that of the material."""

    @abstractmethod
    def brief(self, request: Mapping[str, Json], language: Language) -> Brief:
        """What a stored request asks for."""

    def of_prose(self, sentences: Sequence[str]) -> list[Signal]:
        """Signals of a model that answered in prose where JSON was asked for: without a source each."""
        return [self.signal(text=sentence) for sentence in sentences]

    def names(self, signals: Sequence[Signal], brief: Brief) -> frozenset[str]:  # noqa: ARG002 - for those that have some
        """The names that signals and texts may use."""
        return frozenset()

    def prune(self, signal: Signal, known: frozenset[str]) -> tuple[Signal, list[str]]:  # noqa: ARG002 - as above
        """A signal without the names that nobody introduced; and those names."""
        return signal, []

    @abstractmethod
    def structured(self, text: str, known: frozenset[str], language: Language) -> dict[str, Json]:
        """The finished text as parts: fields that join the result's content, `warnings` among them."""
