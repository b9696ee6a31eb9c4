"""The step `external`: what a search outside the project finds; a search server that fails never fails the job."""

import logging
from collections.abc import Sequence

from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.pipeline import answers, language, recipes
from generation_service.pipeline.asking import Asker
from generation_service.pipeline.shapes import External, Finding, Snapshot
from generation_service.search import Hit, SearchProvider, cleaned

_log = logging.getLogger(__name__)
_MOST_HITS = 8


class ExternalStep:
    """Asks the search provider, or the model where that is what searches: then its faults are as in any other step."""

    name = External.step

    def __init__(self, search: SearchProvider, asker: Asker) -> None:
        self._search = search
        self._asker = asker

    async def run(self, run: StepRun) -> StepOutcome:
        recipe = recipes.find(run.job.recipe)
        provider = self._search.name
        if provider == "none":
            return _skipped("search_off")
        if provider == "model" and not (recipe.searches_with_model and self._asker.model.is_language_model):
            return _skipped("model_does_not_search")
        try:
            return StepOutcome(output=(await self._found(run, provider)).stored())
        except (TransientError, PermanentError) as error:
            if provider == "model":
                raise
            _log.warning("External search failed: %s", error.message, extra={"action": "search_failed"})
            return _skipped(f"search_failed:{error.code}")

    async def _found(self, run: StepRun, provider: str) -> External:
        recipe = recipes.find(run.job.recipe)
        written_in = Snapshot.of(run).language or language.of_request(recipe, run.job.request)
        brief = recipe.brief(run.job.request, written_in)
        query = " ".join([brief.title, *brief.people[:3]])
        run.check_lease()
        if provider == "model":
            reply = await self._asker.ask(run, "external", written_in, [])
            found = answers.items(answers.read_object(reply.text, "hits"), "hits")
            hits: Sequence[Hit] = [hit for item in found if (hit := cleaned(item))]
        else:
            hits = await self._search.search(query, _MOST_HITS, written_in)
        return External(query=query, provider=provider, findings=[_finding(hit) for hit in hits[:_MOST_HITS]])


def _finding(hit: Hit) -> Finding:
    return Finding(url=hit.url, title=hit.title, snippet=hit.snippet, published=hit.published)


def _skipped(reason: str) -> StepOutcome:
    return StepOutcome(output={}, status="skipped", reason=reason)
