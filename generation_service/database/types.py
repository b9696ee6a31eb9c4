"""Column types and SQL expressions that mean the same on SQLite and on PostgreSQL."""

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    LargeBinary,
    ScalarSelect,
    String,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

# 32-bit numbers: an array on PostgreSQL (pgvector takes it by a cast, where it is installed), their bytes,
# little-endian, on SQLite. `retrieval.vectors` makes one of the other.
Vector = LargeBinary().with_variant(ARRAY(REAL), "postgresql")


_WORD = re.compile("[a-z_]+")


class Word(TypeDecorator[str]):
    """A word of a small closed set, which comparisons spell out in SQL rather than bind.

    A partial index is found only by a statement that says its condition itself: SQLite matches no parameter of
    an IN, and PostgreSQL none in the plan that it keeps for a prepared statement.
    """

    impl = String
    cache_ok = True

    class comparator_factory(TypeDecorator.Comparator[str]):  # noqa: D106, N801 - SQLAlchemy's name for it
        def operate(self, op: OperatorType, *other: Any, **options: Any) -> Any:
            return super().operate(op, *(_spelled(one) for one in other), **options)


def _spelled(value: Any) -> Any:
    if isinstance(value, str) and _WORD.fullmatch(value):
        return literal_column(f"'{value}'", String())
    if isinstance(value, list | tuple):
        return [_spelled(one) for one in value]
    if isinstance(value, set | frozenset):
        return [_spelled(one) for one in sorted(value)]
    return value


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: `timestamptz` on PostgreSQL, sortable text with microseconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must be aware")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class db_now(FunctionElement[datetime]):  # noqa: N801 - it reads as the SQL function it is
    """The database's clock, plus `seconds`: the only clock that leases and due times are compared with."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0.0) -> None:
        super().__init__(seconds if isinstance(seconds, ColumnElement) else literal(float(seconds), Float()))


def db_moment(seconds: float = 0.0) -> ScalarSelect[datetime]:
    """`db_now`, read once for the whole statement: the end of a search along an index, which `db_now` cannot be.

    PostgreSQL asks a clock that moves on anew for each row. Leases keep to that: what waits for a lock takes time.
    """
    return select(db_now(seconds)).scalar_subquery()


@compiles(db_now, "postgresql")
def _now_on_postgresql(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(db_now, "sqlite")
def _now_on_sqlite(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    offset = f"printf('%+.3f seconds', {compiler.process(element.clauses, **options)})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {offset}) || '000')"


class beside(FunctionElement[str]):  # noqa: N801 - it reads as what it says of a column
    """A column as a condition that no index is to be followed for: another one leads to less, or in order.

    SQLite keeps no statistics that could tell. PostgreSQL does, and is told nothing.
    """

    type = String()
    inherit_cache = True


@compiles(beside)
def _beside(element: beside, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(beside, "sqlite")
def _beside_on_sqlite(element: beside, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"
