"""Highlights: what matched, in the text as it was written."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation_service.retrieval import highlights
from generation_service.retrieval.tokens import tokens

PARTED = unicodedata.normalize("NFD", "할머니가 헌책방에 온다")


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("도현은 헌책방에서 편지를 찾는다.", "헌책방 편지", ["헌책방", "편지"]),
        ("도현은 헌책방에서 편지를 찾는다.", "책방", ["책방"]),
        ("도현은 헌책방에서 편지를 찾는다.", "바다", []),
        ("책방 주인이 책방을 판다.", "책방", ["책방", "책방"]),
        ("The Lighthouse keeper's log", "lighthouse LOG", ["Lighthouse", "log"]),
        ("logs and a log", "log", ["log"]),
        ("Le Café de Flore", "cafe", ["Café"]),
        ("Le Cafe\u0301 de Flore", "café", ["Cafe\u0301"]),
        ("ＡＢＣ 호텔 ﬁn", "abc fin", ["ＡＢＣ", "ﬁn"]),
        ("ﬁnal", "final", ["ﬁnal"]),
        (PARTED, "헌책방", [unicodedata.normalize("NFD", "헌책방")]),
        ("東京都の夜", "京都", ["京都"]),
        ("😀편지😀", "편지", ["편지"]),
        ("가👨‍👩‍👧나 편지", "편지", ["편지"]),
        ("S#12. 옥상 / 밤", "s 12 밤", ["S", "12", "밤"]),
        ("x" * 40 + " y", "x" * 35, ["x" * 40]),
        ("Привет, мир", "МИР", ["мир"]),
        ("", "편지", []),
        ("편지", "", []),
    ],
)
def test_these_are_highlighted(text: str, query: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in highlights(text, query)] == expected


@given(st.text(), st.text())
def test_ranges_are_in_order_and_apart_and_split_no_letter(text: str, query: str) -> None:
    spans = highlights(text, query)

    assert spans == sorted(spans)
    assert all(start < end <= len(text) for start, end in spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))
    for start, end in spans:
        for place in (start, end):
            assert place == len(text) or not unicodedata.combining(text[place])


@given(st.text(alphabet="가나다라마 ab1é한글\u1100\u1161\u11a8\u0301", max_size=30))
def test_all_of_a_text_that_is_asked_for_itself_is_highlighted(text: str) -> None:
    shown = " ".join(text[start:end] for start, end in highlights(text, text))

    assert set(tokens(shown)) <= set(tokens(text))
    assert bool(shown) == bool(tokens(text))
