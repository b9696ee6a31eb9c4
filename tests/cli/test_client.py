"""What commands send to the API, and what they make of its answers."""

from pathlib import Path

import pytest

from generation_service.cli.client import Api, ApiProblem
from generation_service.errors import ConfigurationError, TransientError
from scripts.embedded.ports import free_port
from tests.cli.scripted_api import Answer, ScriptedApi, as_json

JOB = {"job_id": "j", "status": "pending"}


def test_a_submission_whose_answer_was_lost_is_sent_again_under_the_same_key(service: ScriptedApi) -> None:
    service.on("POST /api/generation", Answer(refuse=True), as_json(JOB, 202))

    with Api(service.url, "s3cret") as api:
        job = api.submit({"project_id": "p"}, "key-1")

    assert job == JOB
    assert [asked.headers["idempotency-key"] for asked in service.asked] == ["key-1", "key-1"]
    assert {asked.headers["authorization"] for asked in service.asked} == {"Bearer s3cret"}


def test_a_refusal_is_its_detail_and_is_not_sent_again(service: ScriptedApi) -> None:
    service.on("POST /api/generation", as_json({"code": "queue_full", "detail": "Come back later."}, 503))

    with Api(service.url) as api, pytest.raises(ApiProblem, match=r"^Come back later\.$"):
        api.submit({}, "key-1")

    assert len(service.asked) == 1


def test_an_answer_that_is_no_problem_json_still_makes_a_sentence(service: ScriptedApi) -> None:
    service.on("GET /api/generation/j", Answer(502, b"<html>bad gateway</html>"))

    with Api(service.url) as api, pytest.raises(ApiProblem, match="answered 502"):
        api.job("j")


def test_nobody_at_the_address_is_one_line_that_says_what_to_do() -> None:
    with Api(f"http://127.0.0.1:{free_port()}") as api, pytest.raises(TransientError, match="API_URL"):
        api.job("j")


@pytest.mark.parametrize("url", ["127.0.0.1:8002", "ftp://host", "http://[::1"])
def test_an_address_that_is_no_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="API_URL"), Api(url) as api:
        api.job("j")


def test_a_document_whose_answer_was_lost_is_uploaded_again_as_a_whole(service: ScriptedApi, tmp_path: Path) -> None:
    path = tmp_path / "노트.md"
    path.write_text("등대", encoding="utf-8")
    service.on("POST /api/v1/documents/upload", Answer(refuse=True), as_json({"document_id": "d"}, 202))

    with Api(service.url) as api:
        assert api.upload(path, "p", "key-1")["document_id"] == "d"

    for asked in service.asked:
        assert asked.headers["idempotency-key"] == "key-1"
        assert 'name="container_id"' in asked.body.decode()
        assert "등대" in asked.body.decode()


def test_a_document_is_known_by_its_name_alone(service: ScriptedApi, tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.touch()
    service.on("POST /api/v1/documents/upload", as_json({"document_id": "d"}, 202))

    with Api(service.url) as api:
        api.upload(path, "p", "key-1")

    assert str(tmp_path) not in service.asked[0].body.decode()
