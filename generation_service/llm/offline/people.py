"""The characters of a story: taken from the headings of character documents, never guessed from sentences."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from generation_service.llm.model import Source
from generation_service.llm.sentences import Quote, paragraphs, sentences

_NUMBERING = re.compile(r"^[\d.\s#)]+")
_CUT = re.compile(r"\s*[(/,:|]|\s+[-–—]\s+")
_NAME = re.compile(r"[가-힣]{2,5}|(?:Dr\.|Mr\.|Mrs\.|Ms\.)?\s?[A-Z][\w'’-]+(?: [A-Z][\w'’-]+){0,2}")
_LED = re.compile(r"^(?P<name>[가-힣]{2,4}|[A-Z][\w'’-]+(?: [A-Z][\w'’-]+){0,2})\s*(?:\([^)]{1,40}\))?\s*[:—–-]\s+\S")
_SPEECH = re.compile(r"[“\"]([^“”\"]{4,160})[”\"]")

_LONGEST_NAME_LINE = 40  # such as "한지수 (34세, 서점 주인)"

# What stands where a name could stand in a character document.
_LABELS = """
인물 등장인물 주인공 주요인물 조연 나이 직업 성격 말버릇 목표 비밀 욕망 약점 배경 외모 관계 과거 특징 대사 역할 이름
설정 소개 메모 개요 기획의도 시놉시스 줄거리 자료 참고
characters character cast age role goal want need flaw secret voice background relationship relationships notes
protagonist antagonist name job occupation appearance habit line lines quote people overview
"""
_NOT_NAMES = frozenset(_LABELS.split())


@dataclass(slots=True)
class Person:
    """A character: what the documents say, and what they let the character say."""

    name: str
    source: Source
    about: list[Quote] = field(default_factory=list)
    lines: list[Quote] = field(default_factory=list)

    def is_in(self, text: str) -> bool:
        """Whether `text` mentions this character, by the whole name or by the given one."""
        return any(re.search(rf"\b{re.escape(name)}", text) for name in self._names())

    def _names(self) -> Iterator[str]:
        yield self.name
        if re.fullmatch("[가-힣]{3}", self.name):
            yield self.name[1:]
        elif " " in self.name:
            yield self.name.split()[0]


def people(sources: Iterable[Source], named: Sequence[str] = ()) -> list[Person]:
    """The characters of `sources` in their order, with what is said of each and what each says."""
    found: dict[str, Person] = {}
    for source in sources:
        if source.kind == "characters":
            _read(source, found)
    for name in named:
        request = Source(number=0, kind="request", label="", text="")
        found.setdefault(name, Person(name, request))
    return list(found.values())


def name_in_heading(heading: str | None) -> str | None:
    """The name that the last part of a heading path is; None for a heading such as `Characters`."""
    last = re.split(r"\s+[>›/]\s+", heading or "")[-1]
    parts = [part.strip() for part in re.split(r"\s+[-–—]\s+", _NUMBERING.sub("", last))]
    candidates = [_CUT.split(part)[0].strip() for part in reversed(parts)]
    return next((name for name in candidates if _is_name(name)), None)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and text.lower() not in _NOT_NAMES


def _read(source: Source, found: dict[str, Person]) -> None:
    headed = current = name_in_heading(source.heading)
    for paragraph in paragraphs(source.text):
        if headed is None and (name := _name_leading(paragraph)):
            current = name
        if current is None or paragraph == current:
            continue
        person = found.setdefault(current, Person(current, source))
        person.lines += [Quote(speech.strip(), source) for speech in _SPEECH.findall(paragraph)]
        person.about += [Quote(text, source) for text in sentences(paragraph) if not _SPEECH.search(text)]


def _name_leading(paragraph: str) -> str | None:
    """The name that a paragraph begins with, or consists of; None for any other paragraph."""
    led = _LED.match(paragraph)
    name = led["name"] if led else _CUT.split(_NUMBERING.sub("", paragraph))[0].strip()
    return name if _is_name(name) and (led or len(paragraph) <= _LONGEST_NAME_LINE) else None
