"""Highlights: which characters of a text are what a question asked for.

A text is folded as for the index, but letter by letter, so that each folded character knows the letter
it comes from: a letter with its marks, a syllable with its parts, a ligature as a whole.
"""

import unicodedata
from collections.abc import Iterator, Sequence

from generation_service.retrieval.tokens import RUNS, folded, run_tokens

_JOINERS = frozenset("\u200c\u200d")
_FOLLOWS_IN_SYLLABLE = (range(0x1160, 0x1200), range(0xD7B0, 0xD800))  # Hangul vowels and finals

Span = tuple[int, int]


def highlights(text: str, query: str) -> list[Span]:
    """Ranges `(start, end)` of characters of `text` that match `query`, in order and apart from each other.

    Words are matched whole; Korean, and whatever else is written without spaces, by its 2-grams.
    """
    wanted = {token for _, _, token in _placed(_letters(query)[0])}
    characters, letters = _letters(text)
    marked = bytearray(len(characters))
    for start, end, token in _placed(characters):
        if token in wanted:
            marked[start:end] = b"\x01" * (end - start)
    return _joined([letters[position] for position, mark in enumerate(marked) if mark])


def _letters(text: str) -> tuple[str, list[Span]]:
    """The folded text, and for each of its characters the letter of `text` that it comes from."""
    characters: list[str] = []
    spans: list[Span] = []
    for start, end in _clusters(text):
        plain = folded(text[start:end])
        characters.append(plain)
        spans += [(start, end)] * len(plain)
    return "".join(characters), spans


def _clusters(text: str) -> Iterator[Span]:
    start = 0
    for position in range(1, len(text)):
        if not _continues(text[position]):
            yield start, position
            start = position
    if text:
        yield start, len(text)


def _continues(character: str) -> bool:
    if character.isascii():
        return False
    first = unicodedata.normalize("NFKD", character)[0]
    in_syllable = any(ord(first) in letters for letters in _FOLLOWS_IN_SYLLABLE)
    return in_syllable or character in _JOINERS or unicodedata.category(first).startswith("M")


def _placed(characters: str) -> Iterator[tuple[int, int, str]]:
    """Each token of a folded text with its place; a word's place is all of it, though its token may be cut."""
    for run in RUNS.finditer(characters):
        pairs = run.lastgroup in {"hangul", "dense"} and len(run.group()) > 1
        for position, token in enumerate(run_tokens(run)):
            start = run.start() + position
            yield (start, start + 2, token) if pairs else (run.start(), run.end(), token)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans in order as few as they can be."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
