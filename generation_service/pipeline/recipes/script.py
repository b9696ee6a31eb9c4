"""The recipe `script`: an episode's script from a project's documents."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from generation_service.jobs.model import Json
from generation_service.pipeline import screenplay
from generation_service.pipeline.recipes.base import (
    Brief,
    GenerationRequest,
    Input,
    LongText,
    Name,
    Recipe,
    ShortText,
    Signal,
    Title,
)
from generation_service.texts import Language, text


class Character(Input):
    """Someone who may speak."""

    name: Name
    description: LongText = ""


class EpisodeInput(Input):
    """What a writer says about an episode; everything but the title may be left to the documents."""

    title: Title
    synopsis: LongText = Field("", description="what happens in this episode; it comes before the documents' story")
    characters: list[Name | Character] = Field(
        [], max_length=100, description="who may speak, besides the documents' own"
    )
    instructions: LongText = Field("", description="wishes that are no facts: what to stress, what to avoid")
    genre: ShortText = ""
    tone: ShortText = ""
    setting: ShortText = Field("", description="where and when")
    language: Literal["ko", "en"] | None = Field(None, description="of the script; left out: that of the material")
    target_scenes: int = Field(5, ge=1, le=40)


class ScriptRequest(GenerationRequest):
    """The body of a request for a script."""

    episode_data: EpisodeInput


def _names(value: object) -> object:
    return (
        [str(name) for name in value if name] if isinstance(value, list) else [value] if isinstance(value, str) else []
    )


class ScriptSignal(Signal):
    """A character, a conflict or a beat."""

    kind: Literal["character", "conflict", "beat"] = "beat"
    name: str | None = None
    stage: str | None = None
    people: Annotated[list[str], BeforeValidator(_names)] = Field(default_factory=list)
    place: str | None = None
    time: str | None = None

    @property
    def about(self) -> str:
        return f"{self.kind} {self.name or self.text}"


class Script(Recipe):
    """A script in scenes, whose speakers are the characters that documents and request introduce."""

    name = "script"
    form = "script"
    request = ScriptRequest
    input_field = "episode_data"
    signal = ScriptSignal
    formats = ("markdown", "fountain", "docx", "json")

    def language(self, request: Mapping[str, Json]) -> Language | None:
        return _episode(request).language

    def brief(self, request: Mapping[str, Json], language: Language) -> Brief:
        episode = _episode(request)
        shown = {"genre": episode.genre, "tone": episode.tone, "setting": episode.setting}
        return Brief(
            title=episode.title,
            facts={_FACTS[name][language]: value for name, value in shown.items() if value},
            people=[one if isinstance(one, str) else one.name for one in episode.characters],
            scenes=episode.target_scenes,
            instructions=episode.instructions,
            written=list(_written(episode, language)),
        )

    def names(self, signals: Sequence[Signal], brief: Brief) -> frozenset[str]:
        introduced = [
            signal.name for signal in signals if isinstance(signal, ScriptSignal) and signal.kind == "character"
        ]
        return frozenset(name for name in [*introduced, *brief.people] if name)

    def prune(self, signal: Signal, known: frozenset[str]) -> tuple[Signal, list[str]]:
        if not isinstance(signal, ScriptSignal):
            return signal, []
        strangers = [name for name in signal.people if not screenplay.is_known(name, known)]
        people = [name for name in signal.people if name not in strangers]
        return signal.model_copy(update={"people": people}), strangers

    def structured(self, text: str, known: frozenset[str], language: Language) -> dict[str, Json]:
        script = screenplay.read(text, known)
        return {
            "script": script.model_dump(mode="json", exclude_none=True),
            "warnings": screenplay.warnings(script, known, language),
        }

    prompts = {  # noqa: RUF012 - declared as a constant in the base
        "signals": {
            "ko": """너는 드라마 작가실의 자료 조사원이다. 자료에서 인물, 갈등, 사건을 찾아라.
자료에 없는 것은 쓰지 말고, 각 항목에 근거가 된 자료의 번호를 sources에 적어라.
JSON 객체 하나만 답하라. 설명이나 코드 블록은 쓰지 마라.
{"signals": [
  {"kind": "character", "name": "이름", "text": "누구이고 무엇을 원하는가", "sources": [1]},
  {"kind": "conflict", "text": "누가 무엇을 두고 왜 부딪치는가", "people": ["이름"], "sources": [1]},
  {"kind": "beat", "stage": "setup", "text": "일어나는 일", "people": ["이름"],
   "place": "장소", "time": "밤", "sources": [2]}
]}
stage는 setup, incident, conflict, crisis, resolution 가운데 하나다.""",
            "en": """You are the researcher of a writers' room.
Find the characters, conflicts and beats in the material.
Write nothing that the material does not say, and give the numbers of the sources that say it.
Answer with one JSON object and nothing else: no explanation, no code fence.
{"signals": [
  {"kind": "character", "name": "Name", "text": "who this is and what they want", "sources": [1]},
  {"kind": "conflict", "text": "who clashes with whom, over what and why", "people": ["Name"], "sources": [1]},
  {"kind": "beat", "stage": "setup", "text": "what happens", "people": ["Name"],
   "place": "where", "time": "NIGHT", "sources": [2]}
]}
stage is one of setup, incident, conflict, crisis, resolution.""",
        },
        "validation": {
            "ko": """너는 대본의 사실 확인 담당이다. 아래 항목(signals)을 자료와 견주어라.
자료가 뒷받침하지 않거나, 서로 어긋나거나, 되풀이되는 항목의 id만 골라 이유와 함께 적어라.
JSON 객체 하나만 답하라: {"drop": [{"id": "s1", "reason": "이유"}], "notes": ["작가가 알아야 할 점"]}""",
            "en": """You check the facts of a script. Compare the signals below with the material.
Name the ids of those that the material does not support, that contradict each other, or that repeat another.
Answer with one JSON object only:
{"drop": [{"id": "s1", "reason": "why"}], "notes": ["what the writer should know"]}""",
        },
        "insight": {
            "ko": """너는 드라마 작가다. 확인된 항목과 자료만으로 이 회차의 대본을 한국어로 써라.
장소나 시간이 바뀔 때마다 새 장면을 `## S#1. 장소 / 시간` 꼴의 제목으로 열고, 번호는 1부터 빠짐없이 매겨라.
지문은 현재형 문단으로, 대사는 한 줄에 `**이름** 대사` 꼴로 써라. 화면 밖 목소리는 `**이름** (E) 대사`다.
등장인물에 없는 사람이 말하게 하지 마라. 제목, 머리말, 맺음말은 쓰지 마라.""",
            "en": """You are a screenwriter. Write this episode's script in English,
from the checked signals and the material only. Open each scene with a heading such as `## 1. INT. PLACE - NIGHT`,
a new one whenever place or time changes, numbered from 1. Write action as paragraphs in the present tense,
and speech on one line each as `**NAME** speech`; off screen: `**NAME** (V.O.) speech`.
Let nobody speak who is not among the characters. No title, no preface, no closing words.""",
        },
    }


_FACTS: Mapping[str, Mapping[Language, str]] = {
    "genre": {"ko": "장르", "en": "Genre"},
    "tone": {"ko": "톤", "en": "Tone"},
    "setting": {"ko": "배경", "en": "Setting"},
}


def _episode(request: Mapping[str, Json]) -> EpisodeInput:
    return EpisodeInput.model_validate(request["episode_data"])


def _written(episode: EpisodeInput, language: Language) -> Iterator[tuple[str, str]]:
    if episode.synopsis:
        yield text("pipeline.synopsis", language), episode.synopsis
    for character in episode.characters:
        if isinstance(character, Character) and character.description:
            yield character.name, character.description
