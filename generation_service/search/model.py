"""The port of external search, its hits as they are let in, and the providers that search nothing themselves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any, Protocol
from urllib.parse import urlsplit

from generation_service.errors import PermanentError
from generation_service.texts import Language

_LONGEST_URL, _LONGEST_TITLE, _LONGEST_SNIPPET = 2_000, 300, 1_500
_MARKUP = re.compile(r"<[^<>]{0,1000}>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One finding, stripped of markup and capped in length; still untrusted."""

    url: str
    title: str
    snippet: str
    published: str | None = None


class SearchProvider(Protocol):
    """Searches outside the project."""

    @property
    def name(self) -> str:
        """As SEARCH_PROVIDER says it."""

    async def search(self, query: str, limit: int, language: Language) -> Sequence[Hit]:
        """At most `limit` hits. Raises TransientError or PermanentError; the step goes on without."""

    async def aclose(self) -> None: ...


class NoSearch:
    """No search is configured; the step is skipped."""

    name = "none"

    async def search(self, query: str, limit: int, language: Language) -> Sequence[Hit]:  # noqa: ARG002 - a port
        return []

    async def aclose(self) -> None:
        """Hold nothing."""


class SearchByModel(NoSearch):
    """The language model searches by itself, so the step asks it instead."""

    name = "model"

    async def search(self, query: str, limit: int, language: Language) -> Sequence[Hit]:  # noqa: ARG002 - a port
        raise PermanentError("search_needs_model", "the model is asked by the step, not through this port")


def cleaned(item: Mapping[str, Any]) -> Hit | None:
    """A hit from what a server sent: plain text of bounded length with a web address; None for anything else."""
    url = item.get("url")
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not _is_web_address(url):
        return None
    published = _plain(item.get("published") or item.get("publishedDate"), 40)
    return Hit(
        url=_CONTROL.sub("", url),
        title=_plain(item.get("title"), _LONGEST_TITLE) or url,
        snippet=_plain(item.get("snippet") or item.get("content"), _LONGEST_SNIPPET),
        published=published or None,
    )


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in {"http", "https"}
    except ValueError:
        return False


def _plain(value: object, longest: int) -> str:
    if not isinstance(value, str):
        return ""
    text = unescape(_MARKUP.sub(" ", value[: longest * 4]))
    return " ".join(_CONTROL.sub(" ", _MARKUP.sub(" ", text)).split())[:longest]
