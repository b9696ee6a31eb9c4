"""Texts for people, in Korean and English, by a stable key; log lines, and what is stored, are English only."""

from collections.abc import Mapping
from typing import Literal, get_args

from generation_service.texts import (
    admin,
    backup,
    benchmark,
    dev_stack,
    documents,
    failures,
    jobs,
    migration,
    operations_scripts,
    pipeline,
    problems,
    programs,
    restarts,
    settings,
    switching,
    terminal,
    values,
)

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

Catalogue = Mapping[str, Mapping[str, str]]
_AREAS: tuple[Catalogue, ...] = (
    admin.TEXTS,
    backup.TEXTS,
    benchmark.TEXTS,
    dev_stack.TEXTS,
    problems.TEXTS,
    programs.TEXTS,
    documents.TEXTS,
    failures.TEXTS,
    jobs.TEXTS,
    migration.TEXTS,
    operations_scripts.TEXTS,
    pipeline.TEXTS,
    restarts.TEXTS,
    settings.TEXTS,
    switching.TEXTS,
    terminal.TEXTS,
    values.TEXTS,
)
_CATALOGUE: Catalogue = {key: texts for area in _AREAS for key, texts in area.items()}


def text(key: str, language: Language, **params: object) -> str:
    """The text under `key`, such as `problem.job_not_found`, filled with `params`. KeyError: there is none."""
    return _CATALOGUE[key][language].format(**params)


def has_text(key: str) -> bool:
    """Whether there is a text under `key`."""
    return key in _CATALOGUE


def language_of_header(accept_language: str | None) -> Language:
    """The better supported language of an Accept-Language header (RFC 9110); English where it names neither."""
    best, weight = "en", 0.0
    for item in (accept_language or "")[:1000].split(","):
        tag, _, parameters = item.strip().partition(";")
        quality = _quality(parameters)
        primary = tag.strip().lower().split("-")[0]
        if primary in LANGUAGES and quality > weight:
            best, weight = primary, quality
    return "ko" if best == "ko" else "en"


def language_of_locale(lang: str | None) -> Language:
    """The language of a LANG or LC_ALL value such as `ko_KR.UTF-8`; English for any other."""
    return "ko" if (lang or "").lower().startswith("ko") else "en"


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
