"""JSON from models, in whatever it is wrapped."""

import pytest

from generation_service.pipeline.answers import items, lines, read_object

GOOD = '{"signals": [{"text": "하나"}, {"text": "둘"}]}'


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"물론입니다!\n\n{GOOD}\n\n도움이 되었기를 바랍니다.",
        '{"signals": [{"text": "하나"}, {"text": "둘"},]}',
        '[{"text": "하나"}, {"text": "둘"}]',
        '{"signals": [{"text": "하나"}, {"text": "둘"}, {"text": "세',
        f"```json\n{GOOD[:-1]}",
    ],
)
def test_an_object_is_found(answer: str) -> None:
    assert [item["text"] for item in items(read_object(answer, "signals"), "signals")] == ["하나", "둘"]


def test_what_no_database_takes_is_left_out_though_it_was_written_as_an_escape() -> None:
    answer = r'{"a\u0000": [{"text": "\ud83d하나\u0000"}, "\ud83d\ude00", "\udfff"]}'

    assert read_object(answer, "signals") == {"a": [{"text": "하나"}, "😀", ""]}


@pytest.mark.parametrize(
    "answer", ["", "자료에 신호가 없습니다.", "{아니다}", "17", '"text"', "{" * 5000, "[" * 5000, "[" * 600 + "]" * 600]
)
def test_what_is_no_object_is_none(answer: str) -> None:
    assert read_object(answer, "signals") is None


def test_what_is_not_a_list_of_objects_is_empty() -> None:
    assert items({"signals": "text"}, "signals") == items(None, "signals") == []
    assert items({"signals": ["text", 1, {"a": 1}]}, "signals") == [{"a": 1}]
    assert lines({"notes": ["one", 2]}, "notes") == ["one"]
