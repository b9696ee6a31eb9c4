"""What is wrong with a value is said without the value, and without names that the caller made up."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from generation_service.api.bodies import check_values, parse_json
from generation_service.api.problems import Invalid
from generation_service.api.values import ValueProblem, value_problems
from generation_service.errors import Refused
from generation_service.texts import LANGUAGES


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = Field(max_length=5)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    inner: Inner
    several: list[Inner | str] = []
    kind: Literal["a", "b"] = "a"
    number: int | None = Field(None, ge=1)


def problems_of(body: Any) -> tuple[ValueProblem, ...]:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(body)
    details = error.value.errors(include_url=False, include_input=False)
    return value_problems((dict(one) for one in details), Outer.model_json_schema())


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "#/inner", "missing"),
        ({"inner": {"title": "t", "S3CRET": 1}}, "#/inner", "unknown_field"),
        ({"inner": {"title": "S3CRET"}}, "#/inner/title", "too_long"),
        ({"inner": {"title": 5}}, "#/inner/title", "wrong_type"),
        ({"inner": {"title": "t"}, "kind": "S3CRET"}, "#/kind", "not_a_choice"),
        ({"inner": {"title": "t"}, "number": 0}, "#/number", "too_small"),
        ({"inner": "S3CRET"}, "#/inner", "wrong_type"),
        ({"inner": {"title": "t"}, "S3CRET": {"S3CRET": 1}}, "#", "unknown_field"),
    ],
)
def test_each_kind_of_mistake_has_its_place_and_code_and_echoes_nothing(body: Any, pointer: str, code: str) -> None:
    found = problems_of(body)

    assert (pointer, code) in {(one.pointer, one.code) for one in found}
    for language in LANGUAGES:
        told = [one.in_words(language) for one in found]
        assert "S3CRET" not in str(told)
        assert all(one["detail"] for one in told)


def test_an_unknown_field_is_answered_with_those_that_are_known() -> None:
    (problem,) = problems_of({"inner": {"title": "t", "titel": "t"}})

    assert "title" in problem.in_words("en")["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_json_is_refused_as_malformed(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_json(raw)

    assert (refused.value.code, refused.value.status) == ("malformed_json", 400)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a": "\\u0000"}', "unusable_character"),
        (b'{"a\\u0000": 1}', "unusable_character"),
        (b'{"a": "\\ud800"}', "unusable_character"),
        (b'{"a": 1e999}', "too_large"),
        (b'{"a": ' + b"9" * 30 + b"}", "too_large"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "too_large"),
        (b'{"a": -' + b"9" * 30 + b"}", "too_large"),
        (b"[" * 40 + b"]" * 40, "too_deep"),
    ],
)
def test_what_could_not_be_stored_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(Invalid) as invalid:
        check_values(parse_json(raw))

    assert code in {one.code for one in invalid.value.errors}


def test_ordinary_json_passes() -> None:
    value = parse_json('{"a": ["가", "\\ud83d\\ude00", 1, 2.5, null, true, {"b": {}}]}'.encode())

    check_values(value)

    assert value["a"][1] == "😀"
