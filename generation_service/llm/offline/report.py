"""Drafting a risk report from quotations and from the figures that were given."""

from collections.abc import Iterator, Mapping
from typing import Any

from generation_service.llm.model import Material, Source
from generation_service.llm.offline.words import RISKS, SEVERE, SEVERITIES, named, phrase
from generation_service.llm.sentences import most_related, quotes
from generation_service.texts import Language

_MOST_SIGNALS = 24
_REFERENCES = 5


def report_signals(material: Material, language: Language) -> Iterator[dict[str, Any]]:
    """Sentences that speak of a risk, each with its category, its severity and its source."""
    found = 0
    for quote in quotes(source for source in material.sources if source.kind != "episode"):
        category = named(RISKS[language], quote.text)
        if category is None or found == _MOST_SIGNALS:
            continue
        found += 1
        yield {
            "kind": "risk",
            "category": category,
            "severity": named(SEVERE[language], quote.text) or "low",
            "text": quote.text,
            "sources": [quote.source.number],
        }


def report(material: Material, language: Language) -> Iterator[str]:
    """The report, line by line: the company, its signals by severity with their evidence, references, a count."""
    by_number = {source.number: source for source in material.sources}
    yield f"## {phrase('overview', language)}\n\n"
    yield from (f"- {name}: {value}\n" for name, value in material.facts.items())
    yield f"\n## {phrase('signals', language)}\n\n"
    if not material.signals:
        yield f"> {phrase('no_risk', language)}\n\n"
    for severity, names in SEVERITIES.items():
        of_this = [signal for signal in material.signals if signal.get("severity") == severity]
        if of_this:
            yield f"### {names[language]}\n\n"
        yield from (_evidence(signal, by_number) for signal in of_this)
        if of_this:
            yield "\n"
    yield from _references(material, language)
    severe = sum(signal.get("severity") in {"critical", "high"} for signal in material.signals)
    yield f"## {phrase('conclusion', language)}\n\n"
    yield phrase("counted", language, total=len(material.signals), severe=severe) + "\n"


def _evidence(signal: Mapping[str, Any], by_number: Mapping[int, Source]) -> str:
    cited = [by_number[number].citation for number in signal.get("sources", ()) if number in by_number]
    return f"- ({signal.get('category', '')}) {signal['text']} {' '.join(cited)}".rstrip() + "\n"


def _references(material: Material, language: Language) -> Iterator[str]:
    used = {signal["text"] for signal in material.signals}
    unused = [quote for quote in quotes(material.sources) if quote.text not in used]
    chosen = most_related(unused, " ".join([material.title, *material.facts.values()]), _REFERENCES)
    if chosen:
        yield f"## {phrase('references', language)}\n\n"
        yield from (f"- {quote.text} {quote.source.citation}\n" for quote in chosen)
        yield "\n"
