"""The step `signal`: asks the model what the material holds, each item with the sources that say it."""

from collections.abc import Sequence

from pydantic import ValidationError

from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.llm.sentences import sentences
from generation_service.pipeline import answers, recipes
from generation_service.pipeline.asking import Asker, sources_of
from generation_service.pipeline.recipes import Recipe, Signal
from generation_service.pipeline.shapes import Signals

_MOST_SIGNALS = 120
_MOST_OF_PROSE = 20


class SignalStep:
    """Extracts signals. An answer that is no JSON is read as prose: one call a step is all there is."""

    name = Signals.step

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def run(self, run: StepRun) -> StepOutcome:
        language, sources = sources_of(run)
        reply = await self._asker.ask(run, "signals", language, sources)
        recipe = recipes.find(run.job.recipe)
        found = answers.read_object(reply.text, "signals")
        if found is None:
            read_as, signals, unreadable = "prose", recipe.of_prose(sentences(reply.text)[:_MOST_OF_PROSE]), 0
        else:
            items = answers.items(found, "signals")
            read_as, signals = "json", _read(recipe, items[:_MOST_SIGNALS])
            unreadable = len(items) - len(signals)
        stored = [signal.model_dump(mode="json") for signal in _numbered(signals)]
        output = Signals(signals=stored, unreadable=unreadable, read_as=read_as, generator=reply.model)
        return StepOutcome(output=output.stored())


def _read(recipe: Recipe, items: Sequence[dict[str, object]]) -> list[Signal]:
    """The items that can be read; a model's slip in one costs only that one."""
    signals = []
    for item in items:
        try:
            signals.append(recipe.signal.model_validate(item))
        except ValidationError:
            continue  # counted by whoever compares the lengths
    return signals


def _numbered(signals: Sequence[Signal]) -> list[Signal]:
    return [signal.model_copy(update={"id": f"s{number}"}) for number, signal in enumerate(signals, start=1)]
