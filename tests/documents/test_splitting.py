"""Splitting: chunks keep scene headings and sentences whole, and say where they stand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation_service.documents.artefact import artefact_of
from generation_service.documents.model import Document
from generation_service.documents.parsing import Parsed
from generation_service.documents.splitting import TARGET, sentences, split
from generation_service.errors import PermanentError
from generation_service.reader.blocks import Block
from tests.documents import files

SENTENCE = "도현은 오래된 책방의 문을 열고 먼지 쌓인 편지를 꺼내 읽었다."


@pytest.mark.parametrize(
    "heading",
    [
        "S#1. 헌책방 / 낮",
        "S#.1 경찰서 (낮/안)",
        "S1. 병원 응급실 / INT / 낮",
        "#3. 작업실 (밤)",
        "씬 3",
        "장면 12. 옥상",
        "INT. KITCHEN - DAY",
        "EXT. HARBOUR - NIGHT",
        "SCENE 4 - The harbour",
    ],
)
def test_a_scene_begins_a_chunk_with_its_heading_whole(heading: str) -> None:
    pieces = split([Block(f"앞의 이야기.\n{heading}\n{SENTENCE}", heading="1화")])

    assert [(piece.heading, piece.text) for piece in pieces] == [
        ("1화", "앞의 이야기."),
        (f"1화 > {heading}", f"{heading}\n{SENTENCE}"),
    ]


def test_a_heading_with_nothing_below_it_stands_above_the_next_scene() -> None:
    text = f"S#1. 헌책방 / 낮\n\nS#2. 극장 / 밤\n{SENTENCE}\nS#3. 옥상 / 낮\nS#4. 바다 / 밤"

    assert [(piece.heading, piece.text) for piece in split([Block(text)])] == [
        ("S#2. 극장 / 밤", f"S#1. 헌책방 / 낮\n\nS#2. 극장 / 밤\n{SENTENCE}"),
        ("S#4. 바다 / 밤", "S#3. 옥상 / 낮\nS#4. 바다 / 밤"),
    ]


def test_headings_without_end_make_no_chunks_without_end() -> None:
    assert len(split([Block("S1.\n" * 50_000)])) < 1_000


def test_what_falls_into_too_many_pieces_is_too_large() -> None:
    with pytest.raises(PermanentError) as refused:
        artefact_of(document(), Parsed(blocks=[Block("S1.\n글\n" * 20_001)], pages=None, language="ko"))

    assert refused.value.code == "too_large"


def test_many_pieces_are_no_fault() -> None:
    artefact = artefact_of(document(), Parsed(blocks=[Block("S1.\n글\n" * 20_000)], pages=None, language="ko"))

    assert len(artefact.pieces) == 20_000


def document() -> Document:
    """A document that is being read."""
    known = {"id": "d", "project_id": "p", "user_id": "ana", "job_id": "j", "file_name": "대본.txt", "file_size": 1}
    rest = dict.fromkeys(set(Document.__slots__) - known.keys())
    return Document(**{**rest, **known, "sha256": "0"})


def test_a_long_scene_keeps_its_heading_on_every_chunk_and_its_sentences_whole() -> None:
    lines = [f"{number} {SENTENCE}" for number in range(60)]
    pieces = split([Block("S#7. 극장 / 밤\n" + "\n".join(lines))])

    assert len(pieces) > 3
    assert {piece.heading for piece in pieces} == {"S#7. 극장 / 밤"}
    assert all(line in lines for piece in pieces[1:] for line in piece.text.split("\n"))
    assert all(len(piece.text) <= TARGET for piece in pieces)


def test_each_chunk_begins_with_the_last_sentence_of_the_one_before() -> None:
    text = " ".join(f"{SENTENCE[:-1]} {number}번째였다." for number in range(40))
    pieces = split([Block(text)])

    assert len(pieces) > 2
    for before, after in pairwise(pieces):
        assert after.text.startswith(sentences(before.text)[-1])
        assert after.text != sentences(before.text)[-1]


def test_a_scene_goes_on_over_the_page_and_ends_with_its_section() -> None:
    pieces = split([Block("S#1. 책방 / 낮\n시작.", None, 1), Block("계속.", None, 2), Block("부록.", "부록", 3)])

    assert [(piece.page, piece.heading) for piece in pieces] == [
        (1, "S#1. 책방 / 낮"),
        (2, "S#1. 책방 / 낮"),
        (3, "부록"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("그는 갔다. 비가 왔다!", ["그는 갔다.", "비가 왔다!"]),
        ("2024. 3. 4. 편지가 왔다. 끝.", ["2024. 3. 4. 편지가 왔다.", "끝."]),
        ("S#12. 아리랑 극장 / 밤", ["S#12. 아리랑 극장 / 밤"]),
        ('"안녕." 하고 말했다. 고양이가 울었다.', ['"안녕." 하고 말했다.', "고양이가 울었다."]),
        ("비율은 3.5였다... 그래서?", ["비율은 3.5였다...", "그래서?"]),
        ("Mr. Kim met Dr. Lee. They left.", ["Mr. Kim met Dr. Lee.", "They left."]),
        ("行く。来る。", ["行く。", "来る。"]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_what_has_no_end_of_its_own_is_cut() -> None:
    pieces = split([Block("가" * (TARGET * 2 + 10))])

    assert [len(piece.text) for piece in pieces] == [TARGET, TARGET, 10]


@given(
    st.lists(st.sampled_from([SENTENCE, "\n", "\n\n", "S#3. 책방 / 낮\n", "a" * 700, "? ", "도현\t(E) 여보세요!\n"]))
)
def test_nothing_of_a_text_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    kept = "".join("".join(piece.text.split()) for piece in split([Block(text)]))
    position = -1

    for letter in "".join(text.split()):
        position = kept.find(letter, position + 1)
        assert position >= 0
    assert all(len(piece.text) <= TARGET for piece in split([Block(text)]))


@pytest.mark.parametrize("text", ["?" * 400_000, "." * 400_000, "\n" * 400_000, "a b" * 130_000, "S#" * 200_000])
@pytest.mark.timeout(20)
def test_a_hostile_text_is_split_in_time_that_grows_with_its_length(text: str) -> None:
    assert all(len(piece.text) <= TARGET for piece in split([Block(text)]))


def test_the_sample_script_is_split_by_scene() -> None:
    assert [piece.heading for piece in split([Block(files.SCRIPT)])] == [
        None,
        "S#1. 헌책방 / 낮",
        "S#2. 아리랑 극장 / 밤",
    ]
