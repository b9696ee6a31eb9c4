"""The step `insight`: writes the result itself, streamed as it comes."""

from collections.abc import Mapping, Sequence
from typing import Any

from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.llm import LanguageModel
from generation_service.llm.sentences import sentences
from generation_service.pipeline import recipes
from generation_service.pipeline.asking import Asker, sources_of
from generation_service.pipeline.shapes import CitedSource, Content, Context, Validated
from generation_service.texts import Language, text

_CHARACTERS_A_SCENE = 450  # a guess at the length, for the progress bar only
_PROGRESS_STEP = 0.02
_SUMMARY = 600  # characters of an episode that later ones are told


class InsightStep:
    """Streams a heading that says what writes it, then the text; keeps it whole and as parts."""

    name = Content.step

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def run(self, run: StepRun) -> StepOutcome:
        language, sources = sources_of(run)
        recipe = recipes.find(run.job.recipe)
        brief = recipe.brief(run.job.request, language)
        signals = Validated.of(run).signals
        written = _Written(run, expected=_CHARACTERS_A_SCENE * brief.scenes)
        await written.add(heading(brief.title, self._asker.model, language))
        reply = await self._asker.ask(run, "insight", language, sources, signals=signals, on_piece=written.add)
        known = recipe.names([recipe.signal.model_validate(one) for one in signals], brief)
        parts = recipe.structured(reply.text, known, language)
        if reply.truncated:
            parts["warnings"].append({"code": "truncated", "message": text("pipeline.truncated", language)})
        content = Content(
            recipe=recipe.name,
            title=brief.title,
            language=language,
            generator=self._asker.model.generator,
            is_language_model=self._asker.model.is_language_model,
            text=written.text,
            summary=summary(signals, reply.text),
            truncated=reply.truncated,
            usage_estimated=reply.estimated,
            sources=_cited(run),
            signals=signals,
            **parts,
        )
        return StepOutcome(output=content.stored())


class _Written:
    """The text so far, handed on piece by piece."""

    def __init__(self, run: StepRun, expected: int) -> None:
        self.text = ""
        self._run = run
        self._expected = expected
        self._told = 0.0

    async def add(self, piece: str) -> None:
        self.text += piece
        await self._run.token(piece)
        fraction = min(0.95, len(self.text) / self._expected)
        if fraction - self._told >= _PROGRESS_STEP:
            self._told = fraction
            await self._run.progress(fraction)


def heading(title: str, model: LanguageModel, language: Language) -> str:
    """The first lines of a result: its title, and what generated it."""
    if model.is_language_model:
        shown, note = title, text("pipeline.model_note", language, generator=model.generator)
    else:
        shown = text("pipeline.draft_title", language, title=title)
        note = text("pipeline.draft_note", language, generator=model.generator)
    return f"# {shown}\n\n> {note}\n\n"


def summary(signals: Sequence[Mapping[str, Any]], written: str) -> str:
    """What later episodes are told: the beats or risks, else how the text begins."""
    told = [str(signal["text"]) for signal in signals if signal.get("kind") in {"beat", "risk"} and signal.get("text")]
    found = ""
    for sentence in told or sentences(written):
        if len(found) + len(sentence) > _SUMMARY:
            break
        found = f"{found}\n{sentence}".strip()
    return found


def _cited(run: StepRun) -> list[CitedSource]:
    return [CitedSource.model_validate(one.model_dump()) for one in Context.of(run).sources]
