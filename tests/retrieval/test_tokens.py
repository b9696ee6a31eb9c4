"""Tokens: 2-grams for Korean, words for Latin, and one small alphabet for every script."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation_service.retrieval.tokens import LONGEST_WORD, scope, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("도현", ["도현"]),
        ("헌책방에서", ["헌책", "책방", "방에", "에서"]),
        ("밤", ["밤"]),
        ("S#12. 아리랑", ["s", "12", "아리", "리랑"]),
        ("3월의 Rain", ["3", "월의", "rain"]),
        ("Café ＡＢＣ ﬁn", ["cafe", "abc", "fin"]),
        ("\u1103\u1169\u1112\u1167\u11ab", ["도현"]),  # parted letters, as macOS writes them
        ("東京都", ["u6771u4eac", "u4eacu90fd"]),
        ("Привет", ["u43fu440u438u432u435u442"]),
        ("x" * 100, ["x" * LONGEST_WORD]),
        ("'\"*()&|!:-", []),
        ("", []),
    ],
)
def test_a_text_has_these_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text())
def test_a_token_is_spelled_with_few_letters_whatever_the_text(text: str) -> None:
    assert all(re.fullmatch("[가-힣a-z0-9]+", token) for token in tokens(text))


@given(st.text())
def test_no_text_has_a_projects_token(text: str) -> None:
    assert scope("p") not in tokens(text)
    assert scope("p") not in tokens(scope("p"))
