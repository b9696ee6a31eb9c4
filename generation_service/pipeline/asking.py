"""One model call of a step: within the lease and the budget, its cost recorded whatever becomes of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from generation_service.jobs.model import Json
from generation_service.jobs.ports import StepRun
from generation_service.llm import LanguageModel, Material, ModelCall, Reply, Source, Task, bounded
from generation_service.pipeline import prompts, recipes
from generation_service.pipeline.shapes import Context
from generation_service.texts import Language

OnPiece = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks the model on behalf of steps. A step asks once, so that its Idempotency-Key means one thing."""

    model: LanguageModel
    max_output_tokens: int

    async def ask(
        self,
        run: StepRun,
        task: Task,
        language: Language,
        sources: Sequence[Source],
        *,
        signals: Sequence[Mapping[str, Json]] = (),
        on_piece: OnPiece | None = None,
    ) -> Reply:
        """Return the whole reply, each piece handed to `on_piece` as it comes. Raises as `LanguageModel.open`."""
        call = self._call(run, task, language, sources, signals)
        run.check_lease()
        async with self.model.open(call) as reply:
            try:
                async for piece in reply:
                    if on_piece is not None:
                        await on_piece(piece)
            finally:
                run.spend(reply.usage)
        return reply

    def _call(
        self,
        run: StepRun,
        task: Task,
        language: Language,
        sources: Sequence[Source],
        signals: Sequence[Mapping[str, Json]],
    ) -> ModelCall:
        recipe = recipes.find(run.job.recipe)
        brief = recipe.brief(run.job.request, language)
        messages = prompts.messages(recipe, task, language, brief, sources=sources, signals=signals)
        call = ModelCall(
            job_id=run.job.id,
            step=run.step,
            attempt=run.attempt,
            task=task,
            language=language,
            messages=messages,
            structured=task != "insight",
            max_output_tokens=self.max_output_tokens,
            material=Material(
                form=recipe.form,
                title=brief.title,
                facts=brief.facts,
                sources=sources,
                people=brief.people,
                signals=signals,
                scenes=brief.scenes,
            ),
        )
        return call.within(bounded(self.max_output_tokens, call.prompt_tokens, run.tokens_left))


def sources_of(run: StepRun) -> tuple[Language, list[Source]]:
    """The language and the numbered sources that the context step has committed."""
    context = Context.of(run)
    return context.language, [stored.source() for stored in context.sources]
