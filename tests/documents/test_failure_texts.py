"""Every code that a document or a file can fail with has a sentence of its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import generation_service
from generation_service.documents import failure_text, parsing
from generation_service.texts import LANGUAGES, has_text, text

PACKAGE = Path(generation_service.__file__).parent
AREAS = ("objects", "embeddings", "documents", "retrieval", "programs")
ERRORS = {"TransientError", "PermanentError", "Deferred", "JobError", "Unreadable"}
OF_JOBS = {"step_timeout", "job_timeout", "internal_error", "budget_exceeded", "database_unavailable", "abandoned"}
OF_EMBEDDINGS = {"embedding_unavailable", "embedding_rate_limited", "embedding_unauthorized", "embedding_bad_request"}


def codes_in(area: str) -> Iterator[str]:
    """Codes of errors that are raised by name, and those that a table of pairs or a choice holds."""
    for path in (PACKAGE / area).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                first = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
                yield from (one.value for one in first if isinstance(one, ast.Constant) and isinstance(one.value, str))
            elif isinstance(node, ast.Constant) and str(node.value).startswith("embedding_") and area == "embeddings":
                yield str(node.value)


def codes() -> set[str]:
    found = {code for area in (*AREAS, "reader") for code in codes_in(area)}
    return found | set(parsing._MESSAGES) | OF_JOBS


def test_the_walk_finds_what_is_raised() -> None:
    assert codes() >= {"storage_refused", "reader_starved", "encrypted", "embedding_dimension", *OF_EMBEDDINGS}


@pytest.mark.parametrize("code", sorted(codes()))
def test_each_code_has_a_sentence_of_its_own(code: str) -> None:
    assert has_text(f"document.code.{code}")
    for language in LANGUAGES:
        assert failure_text(code, language) != text("document.code.other", language)
