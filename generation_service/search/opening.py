"""The search provider that the settings ask for."""

from typing import assert_never

from generation_service.search.model import NoSearch, SearchByModel, SearchProvider
from generation_service.settings import Settings


def open_search(settings: Settings) -> SearchProvider:
    """Make the provider of SEARCH_PROVIDER; call it once a process, and `aclose` what it returns at the end."""
    match settings.search_provider:
        case "none":
            return NoSearch()
        case "model":
            return SearchByModel()
        case "searxng":
            from generation_service.search.searxng import SearxngSearch  # noqa: PLC0415 - costs an HTTP client

            return SearxngSearch(settings.search_base_url or "", settings.search_timeout_seconds)
        case _:
            assert_never(settings.search_provider)
