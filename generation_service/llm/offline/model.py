"""The offline provider: a deterministic, extractive drafter behind the port of language models."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, assert_never

from generation_service.errors import PermanentError
from generation_service.llm.model import Form, Material, ModelCall, Reply
from generation_service.llm.offline.report import report, report_signals
from generation_service.llm.offline.story import story, story_signals
from generation_service.llm.offline.words import phrase
from generation_service.texts import Language

GENERATOR = "extractive-v1"

_Signals: TypeAlias = Callable[[Material, Language], Iterator[dict[str, Any]]]
_Draft: TypeAlias = Callable[[Material, Language], Iterator[str]]
# What finds the signals of a form, and what writes it.
_DRAFTERS: Mapping[Form, tuple[_Signals, _Draft]] = {
    "script": (story_signals, story),
    "report": (report_signals, report),
}


class OfflineModel:
    """Drafts from a call's material alone; the same call gives the same bytes on every machine."""

    generator = GENERATOR
    is_language_model = False

    @asynccontextmanager
    async def open(self, call: ModelCall) -> AsyncGenerator[Reply, None]:
        yield Reply(model=self.generator, prompt_tokens=call.prompt_tokens, pieces=_streamed(_drafted(call)))

    async def aclose(self) -> None:
        """Hold nothing."""


async def _streamed(pieces: Iterator[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)  # a cancellation, a heartbeat or another job comes in between


def _drafted(call: ModelCall) -> Iterator[str]:
    match call.task:
        case "signals":
            signals, _ = _DRAFTERS[call.material.form]
            return _json_lines("signals", signals(call.material, call.language))
        case "validation":
            return iter([json.dumps({"drop": [], "notes": [phrase("validated", call.language)]}, ensure_ascii=False)])
        case "insight":
            _, draft = _DRAFTERS[call.material.form]
            return draft(call.material, call.language)
        case "external":
            raise PermanentError("search_needs_model", "the offline drafter cannot search; set SEARCH_PROVIDER")
        case _:
            assert_never(call.task)


def _json_lines(name: str, items: Iterator[object]) -> Iterator[str]:
    """A JSON object with one list, an item a line."""
    yield f'{{"{name}": ['
    for position, item in enumerate(items):
        yield ("," if position else "") + "\n" + json.dumps(item, ensure_ascii=False)
    yield "\n]}"
