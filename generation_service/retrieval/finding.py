"""Finding passages: the database names candidates, one BM25 in Python orders them.

Both databases are asked the same two questions, answered from their own index: in how many of the
project's chunks does each token occur, and which chunks carry the most of the question's rarest
tokens. Neither's own ranking is used (SQLite's counts other projects' texts, PostgreSQL's knows no
rarity), and integers with ties broken by id decide who is a candidate, so both find the same.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, text

from generation_service.database import Database
from generation_service.database.tables import chunks
from generation_service.retrieval.chunks import passage
from generation_service.retrieval.model import Passage, SourceKind
from generation_service.retrieval.queries import candidate_query, frequency_query, terms
from generation_service.retrieval.tokens import tokens

CANDIDATES = 200  # chunks that are scored
_ASKED = 256  # tokens of a question that are looked up: what comes later in a long one is left out
_USED = 64  # of those, the rarest that are searched for
_K1, _B = 1.2, 0.75  # the usual constants of BM25 (Robertson and Zaragoza, 2009)
_GRAIN = 1000  # weights are whole numbers, so that sums cannot differ with their order


@dataclass(frozen=True, slots=True)
class _Statistics:
    """What BM25 must know about a project; `weights` holds the rarity of each token that is searched for."""

    chunk_count: int
    average_length: float
    weights: Mapping[str, float]


async def find_passages(
    database: Database,
    project_id: str,
    query: str,
    limit: int = 12,
    source_kinds: Iterable[SourceKind] | None = None,
) -> list[Passage]:
    """The `limit` passages of a project that answer `query` best, the best first; [] where nothing matches.

    Scores are comparable within one answer only. Okapi BM25 with the project's own statistics.
    """
    asked = list(dict.fromkeys(tokens(query)))[:_ASKED]
    kinds = None if source_kinds is None else sorted(source_kinds)
    if not asked or kinds == []:
        return []
    return await database.read(lambda connection: _find(connection, project_id, asked, limit, kinds))


def _find(
    connection: Connection, project_id: str, asked: Sequence[str], limit: int, kinds: Sequence[str] | None
) -> list[Passage]:
    statistics = _statistics(connection, project_id, asked)
    if not statistics.weights:
        return []
    ids = _candidates(connection, project_id, statistics.weights, kinds)
    rows = connection.execute(select(chunks).where(chunks.c.rowid.in_(ids)))
    scored = [passage(row, _score(row, statistics)) for row in rows]
    return sorted(scored, key=lambda found: (-found.score, found.chunk_id))[:limit]


def _statistics(connection: Connection, project_id: str, asked: Sequence[str]) -> _Statistics:
    sums = select(func.count(), func.sum(chunks.c.token_count)).where(chunks.c.project_id == project_id)
    count, length = connection.execute(sums).one()
    dialect = connection.dialect.name
    found = connection.execute(
        text(frequency_query(dialect)), {"project": project_id, "terms": terms(dialect, project_id, asked)}
    )
    frequencies = {asked[position]: frequency for position, frequency in found}
    rarest = sorted(frequencies, key=lambda token: (frequencies[token], token))[:_USED]
    return _Statistics(
        chunk_count=count,
        average_length=max(1.0, float(length or 0) / max(1, count)),
        weights={
            token: math.log(1 + (count - frequencies[token] + 0.5) / (frequencies[token] + 0.5)) for token in rarest
        },
    )


def _candidates(
    connection: Connection, project_id: str, weights: Mapping[str, float], kinds: Sequence[str] | None
) -> list[int]:
    dialect = connection.dialect.name
    searched = list(weights)
    statement = text(candidate_query(dialect, of_kinds=kinds is not None))
    values: dict[str, Any] = {
        "project": project_id,
        "terms": terms(dialect, project_id, searched),
        "weights": [max(1, round(weights[token] * _GRAIN)) for token in searched],
        "most": CANDIDATES,
    }
    if dialect == "sqlite":
        values["weights"] = str(values["weights"])  # a JSON array
    if kinds is not None:
        statement = statement.bindparams(bindparam("kinds", expanding=True))
        values["kinds"] = list(kinds)
    return list(connection.execute(statement, values).scalars())


def _score(row: Row[Any], statistics: _Statistics) -> float:
    counts = Counter(row.tokens.split(" "))
    norm = _K1 * (1 - _B + _B * row.token_count / statistics.average_length)
    return math.fsum(
        weight * counts[token] * (_K1 + 1) / (counts[token] + norm)
        for token, weight in statistics.weights.items()
        if token in counts
    )
