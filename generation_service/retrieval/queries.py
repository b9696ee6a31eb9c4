"""The two questions that are asked of a database's index, in its own words."""

import json
from collections.abc import Sequence
from typing import Any

from generation_service.retrieval.tokens import scope

# `terms` is a JSON array of FTS5 expressions on SQLite and an array of tsquery texts on PostgreSQL. Each
# asks for the project's own token too, which keeps other projects' postings out; the join is exact on both.
# LATERAL and OFFSET 0 make PostgreSQL ask its index once a term; left to choose, it compares every text with
# every term while it has no statistics yet (measured with 8,000 chunks and 256 terms: 4.0 s against 0.5 s).

_SQLITE_FREQUENCIES = """
    SELECT term.key, count(*)
    FROM json_each(:terms) AS term CROSS JOIN chunk_index CROSS JOIN chunks
    WHERE chunk_index MATCH term.value AND chunks.rowid = chunk_index.rowid AND chunks.project_id = :project
    GROUP BY term.key"""

_SQLITE_CANDIDATES = """
    SELECT chunks.rowid
    FROM json_each(:terms) AS term CROSS JOIN json_each(:weights) AS weight CROSS JOIN chunk_index CROSS JOIN chunks
    WHERE weight.key = term.key AND chunk_index MATCH term.value
      AND chunks.rowid = chunk_index.rowid AND chunks.project_id = :project{kinds}
    GROUP BY chunks.rowid
    ORDER BY sum(weight.value) DESC, chunks.id
    LIMIT :most"""

_POSTGRESQL_FREQUENCIES = """
    SELECT term.position - 1, count(*)
    FROM unnest(CAST(:terms AS tsquery[])) WITH ORDINALITY AS term (query, position),
      LATERAL (SELECT project_id FROM chunks WHERE token_vector @@ term.query OFFSET 0) AS hit
    WHERE hit.project_id = :project
    GROUP BY term.position"""

_POSTGRESQL_CANDIDATES = """
    SELECT hit.rowid
    FROM unnest(CAST(:terms AS tsquery[]), CAST(:weights AS bigint[])) AS term (query, weight),
      LATERAL (SELECT rowid, id, project_id, source_kind FROM chunks WHERE token_vector @@ term.query OFFSET 0) AS hit
    WHERE hit.project_id = :project{kinds}
    GROUP BY hit.rowid, hit.id
    ORDER BY sum(term.weight) DESC, hit.id COLLATE "C"
    LIMIT :most"""

_OF_KINDS = " AND source_kind IN :kinds"


def frequency_query(dialect: str) -> str:
    """Rows (position of the term, how many of the project's chunks hold it); needs :project and :terms."""
    return _SQLITE_FREQUENCIES if dialect == "sqlite" else _POSTGRESQL_FREQUENCIES


def candidate_query(dialect: str, *, of_kinds: bool) -> str:
    """Rowids of the :most chunks with the heaviest sum of :weights; :kinds is a list to expand."""
    statement = _SQLITE_CANDIDATES if dialect == "sqlite" else _POSTGRESQL_CANDIDATES
    return statement.format(kinds=_OF_KINDS if of_kinds else "")


def terms(dialect: str, project_id: str, searched: Sequence[str]) -> Any:
    """Tokens as the value of :terms. They are of [가-힣a-z0-9] only, so quoting cannot be broken out of."""
    mine = scope(project_id)
    if dialect == "sqlite":
        return json.dumps([f'"{mine}" AND "{token}"' for token in searched], ensure_ascii=False)
    return [f"'{mine}' & '{token}'" for token in searched]
