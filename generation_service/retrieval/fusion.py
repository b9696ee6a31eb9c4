"""Fusion: one ranking of several, by the places that passages have in each."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from generation_service.retrieval.model import Passage

_K = 60  # as reciprocal rank fusion has it (Cormack, Clarke and Büttcher, 2009)


def distinct(passages: Iterable[Passage]) -> list[Passage]:
    """Each text once, where it comes first."""
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(passage.text, passage)
    return list(first.values())


def fused(rankings: Sequence[Sequence[Passage]]) -> list[Passage]:
    """One ranking of rankings without equal texts, the best first; scores are sums of reciprocal ranks."""
    scores: dict[str, float] = {}
    known: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            scores[passage.text] = scores.get(passage.text, 0.0) + 1 / (_K + rank)
            known.setdefault(passage.text, passage)
    ranked = [replace(known[text], score=score) for text, score in scores.items()]
    return sorted(ranked, key=lambda one: (-one.score, one.chunk_id))
