"""The mean time of an answer is of the last minutes only."""

from generation_service.telemetry import AnswerTimes, Recent


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_answers_of_the_window_are_added_up_and_older_ones_are_forgotten() -> None:
    clock = Clock()
    answers = AnswerTimes(clock)
    answers.add(1.0)
    clock.now += 200
    answers.add(0.5)
    assert answers.recent() == Recent(count=2, seconds=1.5)

    clock.now += 150
    assert answers.recent() == Recent(count=1, seconds=0.5)

    clock.now += 300
    assert answers.recent() == Recent(count=0, seconds=0.0)


def test_it_does_not_grow_with_time() -> None:
    clock = Clock()
    answers = AnswerTimes(clock)
    for _ in range(1000):
        answers.add(0.1)
        clock.now += 7

    assert len(answers._buckets) <= 31
