"""Reading scripts, in the ways that models and writers set them."""

import pytest

from generation_service.pipeline.screenplay import Screenplay, is_known, read, warnings


def headings(text: str) -> list[tuple[int, str, str | None]]:
    return [(scene.number, scene.place, scene.time) for scene in read(text).scenes]


def elements(line: str, *known: str) -> list[tuple[str, str | None, str]]:
    """What one line of a scene is read as: kind, who speaks, words."""
    script = read(f"S#1. 방 / 밤\n\n{line}\n", known)
    return [(element.kind, element.character, element.text) for element in script.scenes[0].elements]


@pytest.mark.parametrize(
    ("line", "scene"),
    [
        ("## S#1. 헌책방 / 낮", (1, "헌책방", "낮")),
        ("S#12 아리랑 극장 (밤)", (12, "아리랑 극장", "밤")),
        ("S#.3 경찰서 (낮/안)", (3, "경찰서", "낮/안")),
        ("S4. 응급실 / INT / 낮", (4, "응급실 / INT", "낮")),
        ("**S#5. 골목 / 새벽**", (5, "골목", "새벽")),
        ("#6. 작업실 (밤)", (6, "작업실", "밤")),
        ("## S#7. 부두", (7, "부두", None)),
        ("## 1. INT. LAMP ROOM - NIGHT", (1, "INT. LAMP ROOM", "NIGHT")),
        ("EXT. PIER - DAWN", (1, "EXT. PIER", "DAWN")),
        ("INT./EXT. CAR - MOVING - DAY", (1, "INT./EXT. CAR - MOVING", "DAY")),
    ],
)
def test_a_scene_heading_is_known_by_its_form(line: str, scene: tuple[int, str, str | None]) -> None:
    assert headings(f"{line}\n\n지문이다.") == [scene]


@pytest.mark.parametrize(
    ("line", "read_as"),
    [
        ("**서하** 어서 오세요.", [("dialogue", "서하", "어서 오세요.")]),
        ("**서하**: 어서 오세요.", [("dialogue", "서하", "어서 오세요.")]),
        ("서하\t어서 오세요.", [("dialogue", "서하", "어서 오세요.")]),
        ("서하: 어서 오세요.", [("dialogue", "서하", "어서 오세요.")]),
        ("시계: 두 시를 가리킨다.", [("action", None, "시계: 두 시를 가리킨다.")]),
        ("MARA\nNot yet.", [("dialogue", "MARA", "Not yet.")]),
        ("MARA (V.O.)\n(quietly)\nNot yet.", [("parenthetical", "MARA", "quietly"), ("dialogue", "MARA", "Not yet.")]),
        ("SILENCE", [("action", None, "SILENCE")]),
        ("CUT TO:", [("transition", None, "CUT TO:")]),
        ("- 메모다.", [("note", None, "메모다.")]),
        ("서하가 **천천히** 걷는다.", [("action", None, "서하가 천천히 걷는다.")]),
    ],
)
def test_a_line_is_known_by_its_form(line: str, read_as: list[tuple[str, str | None, str]]) -> None:
    assert elements(line, "서하", "Mara Quinn") == read_as


def test_a_voice_off_screen_keeps_its_mark() -> None:
    script = read("S#1. 방 / 밤\n\n**서하** (E) 누구세요?\n")

    assert script.scenes[0].elements[0].extension == "E"


def test_no_word_is_lost_where_nothing_is_recognised() -> None:
    script = read("이것은 대본이 아니다.\n\n그냥 글이다.")

    assert [element.text for element in script.notes] == ["이것은 대본이 아니다.", "그냥 글이다."]


def test_references_after_the_last_scene_belong_to_none() -> None:
    script = read("S#1. 방 / 밤\n\n지문이다.\n\n## 참고 자료\n\n- 출처다.\n")

    assert [element.text for element in script.scenes[0].elements] == ["지문이다."]
    assert [element.text for element in script.notes] == ["참고 자료", "출처다."]


def test_strangers_and_scenes_without_a_time_are_warned_about() -> None:
    script = read("S#1. 방\n\n**서하** 누구세요?\n\n**손님** 접니다.\n")

    found = [
        (one["code"], one.get("name") or one.get("scene")) for one in warnings(script, frozenset({"윤서하"}), "ko")
    ]

    assert found == [("unknown_speaker", "손님"), ("heading_without_time", 1)]


def test_nobody_is_a_stranger_where_nobody_was_introduced() -> None:
    assert warnings(Screenplay(characters=["서하"]), frozenset(), "ko") == []


@pytest.mark.parametrize(
    ("name", "known"),
    [("서하", "윤서하"), ("MARA", "Mara Quinn"), ("Mara Quinn", "Mara Quinn"), (" 윤서하 ", "윤서하")],
)
def test_a_given_name_means_the_same_person(name: str, known: str) -> None:
    assert is_known(name, {known})
    assert not is_known("아무개", {known})
