"""What each step hands on: the declared outputs, kept as JSON."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from generation_service.jobs.ports import StepRun
from generation_service.llm import Source, SourceKind
from generation_service.texts import Language


class Output(BaseModel):
    """A step's output; `step` names the one that makes it."""

    model_config = ConfigDict(frozen=True)

    step: ClassVar[str]

    @classmethod
    def of(cls, run: StepRun) -> Self:
        """The output that an earlier step of this job has committed; the defaults where it was skipped."""
        return cls.model_validate(run.outputs.get(cls.step, {}))

    def stored(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class EarlierEpisode(BaseModel):
    """An episode of the project that was saved before."""

    number: int
    title: str
    summary: str


class KnownDocument(BaseModel):
    """A document of the project and how far it has been read."""

    id: str
    name: str
    status: str


class Snapshot(Output):
    """The project as it stood when the job began, and what was asked."""

    step = "snapshot"

    project_id: str
    recipe: str
    request: dict[str, Any]
    language: Language | None = None
    earlier: list[EarlierEpisode] = []
    documents: list[KnownDocument] = []


class Ingested(Output):
    """How many documents can be used, how many this step has read, and `{document_id, file_name, code}` of the rest."""

    step = "doc_ingest"

    ready: int = 0
    ingested: int = 0
    failed: list[dict[str, str]] = []


class Finding(BaseModel):
    """What an external search found."""

    url: str
    title: str
    snippet: str
    published: str | None = None


class External(Output):
    """External findings; none where the step was skipped."""

    step = "external"

    query: str = ""
    provider: str = "none"
    findings: list[Finding] = []


class StoredSource(BaseModel):
    """A source as it is kept; see `llm.Source`."""

    number: int
    kind: SourceKind
    label: str
    text: str
    heading: str | None = None
    page: int | None = None
    url: str | None = None
    chunk_id: str | None = None

    def source(self) -> Source:
        return Source(
            number=self.number, kind=self.kind, label=self.label, text=self.text, heading=self.heading, page=self.page
        )


class Context(Output):
    """What the model may use: numbered sources, and the language of the result."""

    step = "context"

    language: Language = "en"
    sources: list[StoredSource] = []
    found: int = 0  # passages that answered the query
    left_out: int = 0  # passages that did not fit


class Signals(Output):
    """What was found in the material; `read_as` is prose where the model answered no JSON."""

    step = "signal"

    signals: list[dict[str, Any]] = []
    unreadable: int = 0
    read_as: str = "json"
    generator: str = ""


class Validated(Output):
    """The signals that stood, and what was dropped or taken out, with its reason."""

    step = "validation"

    signals: list[dict[str, Any]] = []
    dropped: list[dict[str, str]] = []
    notes: list[str] = []


class Indexed(Output):
    """How many chunks were written to the project's index."""

    step = "index"

    chunks: int = 0


class CitedSource(BaseModel):
    """A source as a result lists it."""

    number: int
    kind: SourceKind
    label: str
    page: int | None = None
    url: str | None = None


class Content(Output):
    """The result: the text as it was written, the same as parts, and where it comes from.

    `text` is Markdown and equals the concatenated `token` events. A script has `script`, a report has `report`.
    """

    step = "insight"
    model_config = ConfigDict(extra="allow", frozen=True)

    recipe: str
    title: str
    language: Language
    generator: str
    is_language_model: bool
    text: str
    summary: str = ""
    truncated: bool = False
    usage_estimated: bool = False
    warnings: list[dict[str, Any]] = []
    sources: list[CitedSource] = []
    signals: list[dict[str, Any]] = []
