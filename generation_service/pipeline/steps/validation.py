"""The step `validation`: drops duplicates and what names no real source, takes out strangers, then asks the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.llm.sentences import overlap, pairs
from generation_service.pipeline import answers, recipes
from generation_service.pipeline.asking import Asker, sources_of
from generation_service.pipeline.recipes import Brief, Recipe, Signal
from generation_service.pipeline.shapes import Signals, Validated

_SAME = 0.85  # shared 2-grams, of the smaller of two texts, from which they say the same
_LENGTHS_ALIKE = 0.6  # a short text within a long one is no repetition


@dataclass(slots=True)
class Verdict:
    """What is kept and what is not."""

    kept: list[Signal] = field(default_factory=list)
    dropped: list[dict[str, str]] = field(default_factory=list)

    def drop(self, signal: Signal, reason: str, detail: str = "") -> None:
        self.dropped.append({"id": signal.id, "reason": reason, "detail": detail, "text": signal.about[:200]})


class ValidationStep:
    """Checks by rule first, which costs nothing and cannot be talked out of it; then by the model."""

    name = Validated.step

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def run(self, run: StepRun) -> StepOutcome:
        language, sources = sources_of(run)
        recipe = recipes.find(run.job.recipe)
        brief = recipe.brief(run.job.request, language)
        found = [recipe.signal.model_validate(one) for one in Signals.of(run).signals]
        verdict = by_rule(recipe, brief, found, {source.number for source in sources})
        asked_about = [signal.model_dump(mode="json", exclude_defaults=True) for signal in verdict.kept]
        reply = await self._asker.ask(run, "validation", language, sources, signals=asked_about)
        answer = answers.read_object(reply.text, "drop")
        _drop_named(verdict, answers.items(answer, "drop"))
        output = Validated(
            signals=[signal.model_dump(mode="json") for signal in verdict.kept],
            dropped=verdict.dropped,
            notes=answers.lines(answer, "notes") if answer is not None else [reply.text[:2_000]],
        )
        return StepOutcome(output=output.stored())


def by_rule(recipe: Recipe, brief: Brief, found: Sequence[Signal], numbers: set[int]) -> Verdict:
    """What stands without asking anyone.

    Dropped: what says nothing, repeats another, or names only sources that do not exist. Names that
    neither the signals nor the request introduce are taken out of the signals that use them.
    """
    verdict = Verdict()
    known = recipe.names(found, brief)
    for signal in found:
        real = [number for number in dict.fromkeys(signal.sources) if number in numbers]
        if not signal.text and not getattr(signal, "name", None):
            verdict.drop(signal, "empty")
        elif signal.sources and not real:
            verdict.drop(signal, "unknown_source", ", ".join(map(str, signal.sources)))
        elif same := next((one for one in verdict.kept if _repeats(signal, one)), None):
            verdict.drop(signal, "duplicate", same.id)
        else:
            pruned, strangers = recipe.prune(signal.model_copy(update={"sources": real}), known)
            verdict.kept.append(pruned)
            for name in strangers:
                verdict.drop(signal, "unknown_speaker", name)
    return verdict


def _repeats(one: Signal, other: Signal) -> bool:
    if type(one) is not type(other) or getattr(one, "kind", None) != getattr(other, "kind", None):
        return False
    first, second = one.about, other.about
    if first.casefold() == second.casefold():
        return True
    alike = min(len(first), len(second)) >= _LENGTHS_ALIKE * max(len(first), len(second))
    return alike and bool(pairs(first)) and overlap(pairs(first), pairs(second)) >= _SAME


def _drop_named(verdict: Verdict, named: Sequence[dict[str, object]]) -> None:
    reasons = dict(_reasons(named))
    for signal in [signal for signal in verdict.kept if signal.id in reasons]:
        verdict.kept.remove(signal)
        verdict.drop(signal, "model", reasons[signal.id])


def _reasons(named: Sequence[dict[str, object]]) -> Iterator[tuple[str, str]]:
    yield from ((str(item.get("id")), str(item.get("reason") or "")[:500]) for item in named)
