"""Korean questions: the right passage is among the first three, and both databases give the same ranking."""

import re

from generation_service.database import Database
from generation_service.retrieval import NewChunk, Retriever, add_chunks
from tests.retrieval.korean_set import PASSAGES, QUESTIONS
from tests.retrieval.test_finding import chunk


def corpus() -> list[NewChunk]:
    return [chunk(name, words, ordinal=place, id=f"{place:03}") for place, (name, words) in enumerate(PASSAGES.items())]


async def test_nine_of_ten_questions_are_answered_by_the_first_three_alike_on_both(
    sqlite_database: Database, postgresql_database: Database
) -> None:
    both = (sqlite_database, postgresql_database)
    for database in both:
        database.write_now(lambda connection: add_chunks(connection, corpus()))

    missed = []
    for question, wanted in QUESTIONS:
        answers = [await Retriever(database).find("p", question, 20) for database in both]
        ids = [[passage.chunk_id for passage in answer] for answer in answers]
        assert ids[0] == ids[1]
        if wanted not in [passage.source_id for passage in answers[0][:3]]:
            missed.append(question)

    assert len(missed) <= len(QUESTIONS) / 10, missed


def test_the_set_is_what_it_says_it_is() -> None:
    """Large enough, and no question is a piece of its answer."""
    assert (len(PASSAGES) >= 40, len(QUESTIONS) >= 20) == (True, True)
    assert {wanted for _, wanted in QUESTIONS} <= PASSAGES.keys()
    for question, wanted in QUESTIONS:
        phrases = [" ".join(three) for three in zip(*(question.split()[n:] for n in range(3)), strict=False)]
        assert not any(phrase in PASSAGES[wanted] for phrase in phrases), question
        assert re.search(r"(?<![가-힣])[가-힣]{2}", question)
