"""How long a failed attempt waits: a random time under a bound that doubles, and never less than was asked for."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation_service.jobs.retries import RetryPolicy

POLICY = RetryPolicy(base_seconds=2.0, max_seconds=300.0)

failures = st.integers(1, 5_000)
asked = st.none() | st.floats(0, 86_400)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance always gives the longest delay there is."""
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)


@pytest.mark.usefixtures("longest")
def test_the_bound_doubles_with_each_failure_up_to_the_cap() -> None:
    bounds = [POLICY.delay_seconds(failures) for failures in range(1, 11)]

    assert bounds == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_delay_is_anything_between_nothing_and_its_bound() -> None:
    delays = [POLICY.delay_seconds(4) for _ in range(2_000)]

    assert 0 <= min(delays) < 1
    assert 15 < max(delays) <= 16
    assert 7 < sum(delays) / len(delays) < 9


@given(failures)
def test_no_number_of_failures_passes_the_cap(failures: int) -> None:
    assert 0 <= POLICY.delay_seconds(failures) <= POLICY.max_seconds


@given(failures, asked)
def test_a_delay_is_never_shorter_than_the_provider_asked_for(failures: int, asked: float | None) -> None:
    delay = POLICY.delay_seconds(failures, asked)

    assert (asked or 0.0) <= delay <= max(asked or 0.0, POLICY.max_seconds)


@pytest.mark.usefixtures("longest")
def test_what_the_provider_asked_for_shortens_no_delay_and_counts_past_the_cap() -> None:
    assert POLICY.delay_seconds(4, retry_after=1.0) == 16
    assert POLICY.delay_seconds(4, retry_after=3_600.0) == 3_600
