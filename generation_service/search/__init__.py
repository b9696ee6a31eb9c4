"""External search behind one port."""

from generation_service.search.model import Hit, NoSearch, SearchByModel, SearchProvider, cleaned
from generation_service.search.opening import open_search

__all__ = ["Hit", "NoSearch", "SearchByModel", "SearchProvider", "cleaned", "open_search"]
