"""Why a job failed and why a step was skipped: each code has a sentence, in the language of whoever reads it."""

from typing import Any

import pytest

from generation_service.api import failures
from generation_service.errors import PermanentError
from generation_service.jobs.ports import StepOutcome, StepRun
from generation_service.texts import LANGUAGES, Language
from tests.api.conftest import Api, GenerationToy
from tests.support.stored_codes import failure_codes, skip_reasons

KOREAN = {"Accept-Language": "ko"}
STORED = "what is stored, with what somebody sent"


def test_the_walk_finds_what_is_stored() -> None:
    raised = {"provider_unauthorized", "provider_rate_limited", "step_timeout", "abandoned", "too_large", "encrypted"}
    assert failure_codes() >= raised
    assert skip_reasons() >= {"search_off", "search_failed", "already_read", "no_embedding_model"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_code_that_can_be_stored_has_a_sentence(language: Language) -> None:
    for code in sorted(failure_codes()):
        shown = failures.failure({"code": code, "message": STORED, "retryable": True}, language)

        assert (shown["code"], shown["retryable"]) == (code, True)
        assert shown["message"] != STORED, code
        assert is_korean(shown["message"]) == (language == "ko"), code


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_reason_that_can_be_stored_has_a_sentence(language: Language) -> None:
    for reason in sorted(skip_reasons()):
        sentence, code = failures.skipped(f"{reason}:provider_timeout", language)

        assert code == reason
        assert sentence is not None
        assert is_korean(sentence) == (language == "ko"), reason


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_has_no_text_is_shown_as_it_is_stored(language: Language) -> None:
    error = {"code": "of_another_release", "message": STORED, "retryable": False}

    assert failures.failure(error, language) == error
    assert failures.skipped("SEARCH_PROVIDER was none", language) == ("SEARCH_PROVIDER was none", None)
    assert failures.event({"step": "index", "status": "completed", "reason": None}, language)["reason"] is None
    assert failures.event({"status": "pending", "reason": "rescued"}, language)["reason"] == "rescued"


@pytest.fixture
async def failed(api: Api, kind: GenerationToy) -> dict[str, Any]:
    """A job whose search found nothing and whose model refused."""

    async def skip(run: StepRun) -> StepOutcome:
        return StepOutcome(output={}, status="skipped", reason="search_failed:search_unreachable")

    async def fail(run: StepRun) -> StepOutcome:
        raise PermanentError("content_policy", STORED)

    kind.toy_steps["external"].body, kind.toy_steps["signal"].body = skip, fail
    job = await api.submit()
    await api.runtime.run(job["job_id"])
    return job


async def test_a_job_and_its_steps_say_why_in_the_callers_language(api: Api, failed: dict[str, Any]) -> None:
    shown = (await api.http.get(failed["urls"]["self"], headers=KOREAN)).json()
    listed = (await api.http.get("/api/generation", headers=KOREAN)).json()["items"][0]
    english = (await api.http.get(failed["urls"]["self"])).json()

    assert listed == shown
    assert shown["error"]["message"].startswith("모델이 정책에 따라")
    assert english["error"]["message"].startswith("The model refused the content")
    steps, told = ({step["name"]: step for step in job["steps"]} for job in (shown, english))
    assert steps["signal"]["error"] == shown["error"]
    assert steps["external"]["reason"] == "외부 검색 결과 없이 진행합니다. 검색 서버가 응답하지 않았습니다."
    assert told["external"]["reason"] == "Goes on without a search outside. The search server did not answer."
    assert steps["external"]["reason_code"] == told["external"]["reason_code"] == "search_failed"


async def test_events_say_why_in_the_readers_language(api: Api, failed: dict[str, Any]) -> None:
    korean = (await api.http.get(failed["urls"]["events"], headers=KOREAN)).text
    english = (await api.http.get(failed["urls"]["events"])).text

    assert STORED not in korean + english
    assert korean.count("모델이 정책에 따라") == english.count("The model refused the content") == 2
    assert "검색 서버가 응답하지 않았습니다." in korean
    assert '"reason_code":"search_failed"' in english


def is_korean(sentence: str) -> bool:
    return any("가" <= letter <= "힣" for letter in sentence)
