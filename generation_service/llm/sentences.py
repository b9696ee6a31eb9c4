"""Sentences of passages, and how much two texts have in common."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from generation_service.documents.splitting import sentences as split_sentences
from generation_service.llm.model import Source

_SHORTEST, _LONGEST = 8, 400  # characters of a sentence worth quoting
_WRAPPED = 24  # a line at least this long that ends without a full stop goes on in the next line
_MARK = re.compile(r"^\s*(?:#{1,6}\s+|[-*•>]\s+|\d{1,2}[.)]\s+)")
_HEADING = re.compile(r"^\s*(?:#{1,6}\s|S\s?#|#\d|씬 ?\d|장면 ?\d|SCENE \d|(?:INT|EXT)\b)")
_ENDED = re.compile(r"[.!?…。:][\"'”’」』)]*$")
_WORD = re.compile(r"[0-9a-z]+|[가-힣]+")


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence taken word for word from a source."""

    text: str
    source: Source


def quotes(sources: Iterable[Source]) -> list[Quote]:
    """Every sentence of the sources that is worth quoting, in order, each once."""
    found: dict[str, Quote] = {}
    for source in sources:
        for sentence in sentences(source.text):
            found.setdefault(sentence, Quote(sentence, source))
    return list(found.values())


def sentences(text: str) -> list[str]:
    """The sentences of `text`, without list marks and headings; a date such as `2024. 3. 4.` stays whole.

    What ends without a full stop counts only where nothing ends with one: it is a title, or a chat.
    """
    found = [
        sentence
        for line in _lines(text)
        for sentence in split_sentences(line)
        if _SHORTEST <= len(sentence) <= _LONGEST and " " in sentence
    ]
    return [sentence for sentence in found if _ENDED.search(sentence)] or found


def paragraphs(text: str) -> list[str]:
    """The lines of `text` after those that were wrapped have been joined, headings left out."""
    return list(_lines(text))


def _lines(text: str) -> Iterator[str]:
    held = ""
    for raw in [*text.splitlines(), ""]:
        line = raw.strip()
        if held and (not line or _MARK.match(raw) or _ENDED.search(held) or len(held.rsplit("\n", 1)[-1]) < _WRAPPED):
            yield held.replace("\n", " ")
            held = ""
        if line and not _HEADING.match(line) and "|" not in line:
            held = f"{held}\n{line}" if held else _MARK.sub("", line).replace("**", "")
    if held:
        yield held.replace("\n", " ")


@lru_cache(maxsize=2048)  # texts are compared with each other, so each is asked for again and again
def pairs(text: str) -> frozenset[str]:
    """What texts are compared by: 2-grams of Hangul, whole words of anything else."""
    found: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if "가" <= word[0] <= "힣" and len(word) > 1:
            found.update(word[start : start + 2] for start in range(len(word) - 1))
        else:
            found.add(word)
    return frozenset(found)


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of the smaller set lies in the other, 0 to 1."""
    return len(one & other) / max(1, min(len(one), len(other)))


def most_related(candidates: Sequence[Quote], asked: str, limit: int) -> list[Quote]:
    """The `limit` quotes closest to `asked` and least like each other, in their original order.

    Maximal marginal relevance (Carbonell and Goldstein, 1998) with equal weights.
    """
    wanted = pairs(asked)
    sets = [pairs(quote.text) for quote in candidates]
    relevance = [overlap(own, wanted) for own in sets]
    repeated = [0.0] * len(sets)
    chosen: list[int] = []
    while len(chosen) < min(limit, len(sets)):
        rest = [position for position in range(len(sets)) if position not in chosen]
        best = max(rest, key=lambda position: (relevance[position] - repeated[position], -position))
        chosen.append(best)
        repeated = [max(repeated[position], overlap(sets[position], sets[best])) for position in range(len(sets))]
    return [candidates[position] for position in sorted(chosen)]
