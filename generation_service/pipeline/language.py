"""The language of a result: the one that was asked for, else that of the material."""

import re
from collections.abc import Iterable, Mapping

from generation_service.jobs.model import Json
from generation_service.pipeline.recipes import Recipe
from generation_service.texts import Language

_HANGUL = re.compile("[가-힣]")
_LATIN = re.compile("[A-Za-z]")
_KOREAN_SHARE = 0.2  # Korean texts hold Latin names and figures; English ones hold no Hangul to speak of
_ENOUGH = 40  # letters that say something about a language


def detect(texts: Iterable[str]) -> Language | None:
    """The language most of `texts` is written in; None where they hold too few letters to tell."""
    joined = "\n".join(texts)
    hangul, latin = len(_HANGUL.findall(joined)), len(_LATIN.findall(joined))
    if hangul + latin < _ENOUGH:
        return None
    return "ko" if hangul >= _KOREAN_SHARE * (hangul + latin) else "en"


def of_request(recipe: Recipe, request: Mapping[str, Json]) -> Language:
    """The language of the request's own words."""
    brief = recipe.brief(request, "en")
    words = "\n".join([brief.title, brief.instructions, *brief.people, *(text for _, text in brief.written)])
    return "ko" if _HANGUL.search(words) else "en"
