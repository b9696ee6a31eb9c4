"""Rows whose key is one of many: found by their index, whatever a planner believes of how many there are."""

from typing import Any

from sqlalchemy import ColumnElement, Select, any_, func


def among(dialect: str, key: ColumnElement[Any], wanted: Select[Any]) -> ColumnElement[bool]:
    """Whether `key` is one of the values that `wanted` selects.

    PostgreSQL is given an array. What it takes a set for depends on its statistics, and where they are old it has
    looked through the whole set for each row of the table (measured: 500 of 10,000 jobs in 2.7 s instead of 20 ms).
    """
    if dialect == "postgresql":
        found: ColumnElement[bool] = key == any_(func.array(wanted.scalar_subquery()))
        return found
    return key.in_(wanted)
