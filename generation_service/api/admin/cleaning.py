"""Giving back memory in this process: caches, garbage, and what the allocator keeps."""

import ctypes
import functools
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from generation_service.jobs.model import Json
from generation_service.telemetry.memory import own_memory

_OURS = ("generation_service", "workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What was freed in this process; entries of caches, objects of reference cycles, bytes of resident memory."""

    cache_entries: int
    objects: int
    trimmed: bool  # whether the allocator could be asked to give back what it holds
    bytes_before: int
    bytes_after: int

    def as_json(self) -> dict[str, Json]:
        return {
            "freed_cache_entries": self.cache_entries,
            "freed_objects": self.objects,
            "freed_bytes": max(0, self.bytes_before - self.bytes_after),
            "trimmed": self.trimmed,
            "rss_bytes_before": self.bytes_before,
            "rss_bytes_after": self.bytes_after,
        }


def clean(*, force_gc: bool, clear_caches: bool) -> Freed:
    """Clear what can be computed again, collect garbage; blocking, for some tens of milliseconds."""
    before = own_memory()
    entries = _clear_caches() if clear_caches else 0
    objects = _collect() if force_gc else 0
    trimmed = _trim() if force_gc else False
    return Freed(cache_entries=entries, objects=objects, trimmed=trimmed, bytes_before=before, bytes_after=own_memory())


def cached_entries() -> int:
    """How many entries clearing would free."""
    return sum(cache.cache_info().currsize for cache in _caches())


def _clear_caches() -> int:
    entries = 0
    for cache in _caches():
        entries += cache.cache_info().currsize
        cache.cache_clear()
    re.purge()
    return entries


def _caches() -> Iterator[Any]:
    """Every `lru_cache` of our own, wherever it is."""
    kind = type(functools.lru_cache(lambda: None))
    with _thawed():
        tracked = gc.get_objects()
    for found in tracked:
        if type(found) is kind and str(found.__module__).startswith(_OURS):
            yield found


@contextmanager
def _thawed() -> Iterator[None]:
    """What was frozen after the start is neither found nor collected otherwise."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        yield
    finally:
        if frozen:
            gc.freeze()


def _collect() -> int:
    with _thawed():
        return gc.collect()


def _trim() -> bool:
    """Have glibc give free memory back to the system; other C libraries have no such call."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return False
    trim(0)
    return True
