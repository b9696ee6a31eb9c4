"""Drafting a script from quotations: characters, conflicts and beats first, then scenes that quote them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from generation_service.llm.model import Material, Source
from generation_service.llm.offline.people import Person, people
from generation_service.llm.offline.words import CONFLICTS, phrase, place_of, time_of
from generation_service.llm.sentences import Quote, most_related, quotes
from generation_service.texts import Language

T = TypeVar("T")

STAGES = ("setup", "incident", "conflict", "crisis", "resolution")
_BEATS_A_SCENE = 4
_FEWEST_BEATS = 3  # below it the material does not make a story, and the draft says so
_CONFLICTS = 4
_LINES_A_SCENE = 2
_REFERENCES = 5


def story_signals(material: Material, language: Language) -> Iterator[dict[str, Any]]:
    """Characters, conflicts and beats, each quoted from the source it names."""
    cast = people(material.sources, material.people)
    for person in cast:
        about = " ".join(quote.text for quote in person.about[:2])
        yield {"kind": "character", "name": person.name, "text": about, "sources": _numbers(person.source)}
    told = _story(material)
    against = [quote for quote in told if CONFLICTS[language].search(quote.text)]
    for quote in most_related(against, material.title, _CONFLICTS):
        yield {"kind": "conflict", "text": quote.text, **_place_in_story(quote, cast)}
    parts = _even(told, material.scenes)
    beats = [beat for part in parts for beat in most_related(part, _theme(material, cast), _BEATS_A_SCENE)]
    for position, quote in enumerate(beats):
        yield {"kind": "beat", "stage": STAGES[position * len(STAGES) // len(beats)], "text": quote.text} | _scene_of(
            quote, cast, language
        )


def story(material: Material, language: Language) -> Iterator[str]:
    """The script, sentence by sentence: scenes of quoted beats, spoken lines from the documents, reference notes."""
    cast = people(material.sources, material.people)
    beats = [signal for signal in material.signals if signal.get("kind") == "beat"]
    by_number = {source.number: source for source in material.sources}
    if len(beats) < _FEWEST_BEATS:
        yield f"> {phrase('not_enough', language, found=len(beats))}\n\n"
    said: set[str] = set()
    for number, group in enumerate(_even(beats, material.scenes), start=1):
        yield _scene_heading(number, _first(group, "place"), _first(group, "time"), language)
        for beat in group:
            yield f"{beat['text']}{_mark(beat, by_number)}\n\n"
        yield from _dialogue(group, cast, said)
    yield from _references(material, language, beats)


def _story(material: Material) -> list[Quote]:
    """The sentences that tell the story: of the request and synopses, else of other texts, else of characters."""
    for kinds in ({"request", "synopsis"}, {"story"}, {"characters"}):
        found = quotes(source for source in material.sources if source.kind in kinds)
        if len(found) >= _FEWEST_BEATS:
            return found
    return quotes(source for source in material.sources if source.kind not in {"notes", "external", "episode"})


def _theme(material: Material, cast: Sequence[Person]) -> str:
    return " ".join([material.title, *material.facts.values(), *(person.name for person in cast)])


def _place_in_story(quote: Quote, cast: Sequence[Person]) -> dict[str, Any]:
    return {
        "people": [person.name for person in cast if person.is_in(quote.text)],
        "sources": _numbers(quote.source),
    }


def _scene_of(quote: Quote, cast: Sequence[Person], language: Language) -> dict[str, Any]:
    place, time = place_of(quote.text, language), time_of(quote.text, language)
    return {"place": place, "time": time, **_place_in_story(quote, cast)}


def _numbers(source: Source) -> list[int]:
    return [source.number] if source.number else []


def _even(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """The items in order, spread evenly over at most `parts` parts."""
    count = min(parts, len(items))
    bounds = [len(items) * position // count for position in range(count + 1)] if count else [0]
    return [items[start:end] for start, end in pairwise(bounds)]


def _first(group: Sequence[Mapping[str, Any]], name: str) -> str | None:
    return next((beat[name] for beat in group if beat.get(name)), None)


def _scene_heading(number: int, place: str | None, time: str | None, language: Language) -> str:
    where = place or phrase("place_unknown", language)
    if language == "ko":
        return f"## S#{number}. {where}" + (f" / {time}" if time else "") + "\n\n"
    return f"## {number}. INT./EXT. {where.upper()}" + (f" - {time}" if time else "") + "\n\n"


def _mark(signal: Mapping[str, Any], by_number: Mapping[int, Source]) -> str:
    cited = [by_number[number].citation for number in signal.get("sources", ()) if number in by_number]
    return f" {' '.join(cited)}" if cited else ""


def _dialogue(group: Sequence[Mapping[str, Any]], cast: Sequence[Person], said: set[str]) -> Iterator[str]:
    """Lines that the documents give to those who are in these beats, each line once in a script."""
    present = {name for beat in group for name in beat.get("people", ())}
    spoken = 0
    for person in cast:
        if person.name not in present:
            continue
        line = next((line for line in person.lines if line.text not in said), None)
        if line is not None and spoken < _LINES_A_SCENE:
            spoken += 1
            said.add(line.text)
            yield f"**{person.name}**\t{line.text} {line.source.citation}\n\n"


def _references(material: Material, language: Language, beats: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    asked = " ".join([material.title, *(str(beat["text"]) for beat in beats)])
    for name, kinds in (("references", {"notes", "external", "story"}), ("earlier", {"episode"})):
        used = {beat["text"] for beat in beats}
        found = quotes(source for source in material.sources if source.kind in kinds)
        chosen = most_related([quote for quote in found if quote.text not in used], asked, _REFERENCES)
        if chosen:
            yield f"## {phrase(name, language)}\n\n"
        yield from (f"- {quote.text} {quote.source.citation}\n" for quote in chosen)
        if chosen:
            yield "\n"
