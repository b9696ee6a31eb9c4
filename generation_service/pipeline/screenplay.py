"""A script as parts: scenes, action and speech, read from the text as it was written."""

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from generation_service.jobs.model import Json
from generation_service.texts import Language, text

Kind = Literal["action", "dialogue", "parenthetical", "transition", "note"]


class Element(BaseModel):
    """One paragraph of a scene; `extension` says how a voice is heard: E, NA, V.O."""

    kind: Kind
    text: str
    character: str | None = None
    extension: str | None = None


class Scene(BaseModel):
    """One place at one time."""

    number: int
    heading: str
    place: str = ""
    time: str | None = None
    elements: list[Element] = []


class Screenplay(BaseModel):
    """The scenes in order; `notes` are the paragraphs that belong to none: preface and references."""

    characters: list[str] = []
    scenes: list[Scene] = []
    notes: list[Element] = []


_MARKS = re.compile(r"^#{1,6}\s+|^\*\*(?=S\s?#|\d|INT|EXT)|\*\*$")
_KOREAN_SCENE = re.compile(r"^(?:S\s?#?\s?\.?\s?|#\s?|씬\s?|장면\s?)(?P<number>\d{1,3})\s*[.):]?\s+(?P<rest>\S.*)$")
_ENGLISH_SCENE = re.compile(
    r"^(?:(?:SCENE\s+)?\d{1,3}\s*[.):]?\s+)?(?P<rest>(?:INT\.?/EXT\.?|EXT\.?/INT\.?|I/E\.?|INT\.?|EXT\.?|EST\.?)\s+\S.*)$"
)
_SPEECH = re.compile(
    r"^\*\*(?P<name>[^*\n]{1,60}?)\*\*\s*:?\s*(?:\((?P<extension>[^)]{1,20})\))?\s*:?\s*(?P<speech>\S.*)$"
)
_TABBED = re.compile(r"^(?P<name>[^\t\n]{1,40}?)\s*(?:\((?P<extension>[^)]{1,20})\))?\t+(?P<speech>\S.*)$")
_COLON = re.compile(
    r"^(?P<name>[^\s:：][^:：\n]{0,38}?)\s*(?:\((?P<extension>[^)]{1,20})\))?\s*[:：]\s*(?P<speech>\S.*)$"
)
_CUE = re.compile(r"^(?P<name>[A-Z][A-Z0-9 .'’-]{0,38}?)\s*(?:\((?P<extension>[^)]{1,20})\))?$")
_TRANSITION = re.compile(
    r"^(?:[A-Z][A-Z ]{1,30} TO:|F\.\s?[IO]\.?|FADE (?:IN|OUT)[.:]?|페이드 ?(?:인|아웃)|디졸브|암전)\.?$"
)
_ITEM = re.compile(r"^(?:[-*•]|>)\s+")


def read(written: str, known: Iterable[str] = ()) -> Screenplay:
    """Read a script; whatever is not recognised is action, so that no word is lost.

    `known` are the names that make `Name: words` a line of speech.
    """
    reader = _Reader(frozenset(known))
    for line in written.splitlines():
        reader.take(line.strip())
    speakers = (element.character for scene in reader.script.scenes for element in scene.elements)
    reader.script.characters = list(dict.fromkeys(name for name in speakers if name))
    return reader.script


def warnings(script: Screenplay, known: frozenset[str], language: Language) -> list[Json]:
    """What a writer should look at: speakers whom nobody introduced, scenes without a time of day."""
    strangers = [name for name in script.characters if known and not is_known(name, known)]
    found: list[Json] = [
        {"code": "unknown_speaker", "name": name, "message": text("pipeline.unknown_speaker", language, name=name)}
        for name in strangers
    ]
    for scene in script.scenes:
        if not scene.time:
            message = text("pipeline.heading_without_time", language, number=scene.number)
            found.append({"code": "heading_without_time", "scene": scene.number, "message": message})
    return found


def is_known(name: str, known: Iterable[str]) -> bool:
    """Whether a name means one of `known`: by the whole, by the given name, in any case of letters."""
    wanted = name.strip().casefold()
    return any(wanted in _forms(one) for one in known)


def _forms(name: str) -> set[str]:
    whole = name.strip().casefold()
    return {whole, whole[1:]} if re.fullmatch("[가-힣]{3}", whole) else {whole, *whole.split()}


class _Reader:
    """Takes a script line by line."""

    def __init__(self, known: frozenset[str]) -> None:
        self.script = Screenplay()
        self._known = known
        self._open = self.script.notes  # where the next paragraph goes
        self._cue: tuple[str, str | None] | None = None

    def take(self, line: str) -> None:
        if not line:
            self._cue = None
        elif scene := _scene(line, len(self.script.scenes) + 1):
            self.script.scenes.append(scene)
            self._open, self._cue = scene.elements, None
        elif line.startswith("#"):
            self._open, self._cue = self.script.notes, None
            self._add("note", line.lstrip("# "))
        elif self._open is self.script.notes:
            self._add("note", _ITEM.sub("", line))
        else:
            self._take_element(line)

    def _take_element(self, line: str) -> None:
        if self._cue is not None:
            name, extension = self._cue
            kind: Kind = "parenthetical" if line.startswith("(") and line.endswith(")") else "dialogue"
            self._add(kind, line.strip("()") if kind == "parenthetical" else line, name, extension)
        elif speech := self._speech(line):
            self._add("dialogue", speech["speech"], speech["name"].strip(), speech["extension"])
        elif _TRANSITION.match(line):
            self._add("transition", line)
        elif (cue := _CUE.match(line)) and is_known(cue["name"], self._known):
            self._cue = cue["name"].strip(), cue["extension"]
        elif _ITEM.match(line):
            self._add("note", _ITEM.sub("", line))
        else:
            self._add("action", line.replace("**", ""))

    def _speech(self, line: str) -> re.Match[str] | None:
        found = _SPEECH.match(line) or _TABBED.match(line)
        if found is None and (found := _COLON.match(line)) and not is_known(found["name"], self._known):
            return None
        return found

    def _add(self, kind: Kind, words: str, character: str | None = None, extension: str | None = None) -> None:
        self._open.append(Element(kind=kind, text=words, character=character, extension=extension))


def _scene(line: str, number: int) -> Scene | None:
    bare = _MARKS.sub("", line).strip()
    if found := _KOREAN_SCENE.match(bare):
        place, time = _korean_parts(found["rest"])
        return Scene(number=int(found["number"]), heading=bare, place=place, time=time)
    if found := _ENGLISH_SCENE.match(bare):
        place, _, time = found["rest"].rpartition(" - ")
        return Scene(number=number, heading=bare, place=place or time, time=time if place else None)
    return None


def _korean_parts(rest: str) -> tuple[str, str | None]:
    if bracketed := re.fullmatch(r"(?P<place>.+?)\s*\((?P<time>[^)]{1,20})\)", rest):
        return bracketed["place"], bracketed["time"]
    place, slash, time = rest.rpartition("/")
    return (place.strip(), time.strip() or None) if slash else (rest, None)
