"""Generations of the index: one model and one dimension each; searches use the active one while another is built."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, select, update

from generation_service.database import db_now
from generation_service.database.tables import chunk_vectors, chunks, index_generations
from generation_service.database.upsert import insert_if_absent

Status = Literal["building", "active", "retired"]

_IN_USE = index_generations.c.status.in_(["building", "active"])
_DELETED_AT_ONCE = 1_000  # vectors in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One row of `index_generations`; `dimension` is None until the first vector has come."""

    id: str
    model: str
    dimension: int | None
    status: Status


def in_use(connection: Connection) -> list[Generation]:
    """The generations that are written to: the active one, then the one that is being built."""
    wanted = select(index_generations).where(_IN_USE).order_by(index_generations.c.status)
    return [_generation(row) for row in connection.execute(wanted)]


def active(connection: Connection) -> Generation | None:
    """The generation that searches use."""
    return next((one for one in in_use(connection) if one.status == "active"), None)


def begin(connection: Connection, model: str, *, anew: bool = False) -> bool:
    """Begin a generation for `model` where the index needs one (`anew`: in any case); whether one was begun.

    What was being built for another model is given up. The first generation is active at once.
    """
    found = {one.status: one for one in in_use(connection)}
    if "active" not in found:
        return _added(connection, model, "active")
    building = found.get("building")
    if building and building.model == model and not anew:
        return False
    if building:
        _retire(connection, building.id)
    if found["active"].model == model and not anew:
        return False
    return _added(connection, model, "building")


def agree_on_dimension(connection: Connection, generation_id: str, dimension: int) -> bool:
    """Give the generation its dimension where it has none yet; whether it has this one."""
    mine = index_generations.c.id == generation_id
    unset = index_generations.c.dimension.is_(None)
    connection.execute(update(index_generations).where(mine, unset).values(dimension=dimension))
    return connection.execute(select(index_generations.c.dimension).where(mine)).scalar_one_or_none() == dimension


def locked_in_use(connection: Connection) -> set[str]:
    """Ids of the generations in use, which stay so until this transaction ends."""
    # In the order that `activate` locks them in.
    wanted = select(index_generations.c.id).where(_IN_USE).order_by(index_generations.c.id)
    return set(connection.execute(wanted.with_for_update(read=True)).scalars())


def activate(connection: Connection, generation_id: str) -> bool:
    """Make the generation that was built the active one and retire the other; whether this call did.

    Not while a chunk has no vector in it.
    """
    wanted = select(index_generations).where(_IN_USE).order_by(index_generations.c.id).with_for_update()
    found = {row.id: row.status for row in connection.execute(wanted)}
    if found.get(generation_id) != "building" or missing(connection, generation_id):
        return False
    for other in found.keys() - {generation_id}:
        _retire(connection, other)
    fresh = update(index_generations).where(index_generations.c.id == generation_id)
    connection.execute(fresh.values(status="active", activated_at=db_now()))
    return True


def missing(connection: Connection, generation_id: str) -> int:
    """How many chunks have no vector in the generation."""
    counted = select(func.count()).select_from(chunks).where(without_vector(generation_id))
    return connection.execute(counted).scalar_one()


def without_vector(generation_id: str) -> ColumnElement[bool]:
    """Whether a chunk has no vector in the generation, for a statement about chunks."""
    return ~exists().where(chunk_vectors.c.generation_id == generation_id, chunk_vectors.c.chunk_id == chunks.c.id)


def is_in_use(generation_id: str) -> ColumnElement[bool]:
    """Whether the generation is written to, for any statement."""
    return exists().where(index_generations.c.id == generation_id, _IN_USE)


def forget_retired(connection: Connection) -> bool:
    """Delete a batch of the vectors of retired generations, or one of these whose vectors are gone; whether any was."""
    retired = select(index_generations.c.id).where(index_generations.c.status == "retired").limit(1)
    generation_id = connection.execute(retired).scalar_one_or_none()
    if generation_id is None:
        return False
    mine = chunk_vectors.c.generation_id == generation_id
    some = select(chunk_vectors.c.chunk_id).where(mine).limit(_DELETED_AT_ONCE)
    if not connection.execute(delete(chunk_vectors).where(mine, chunk_vectors.c.chunk_id.in_(some))).rowcount:
        connection.execute(delete(index_generations).where(index_generations.c.id == generation_id))
    return True


def _added(connection: Connection, model: str, status: Status) -> bool:
    fresh = {"id": str(uuid4()), "model": model, "status": status, "created_at": db_now()}
    if status == "active":
        fresh["activated_at"] = db_now()
    return insert_if_absent(connection, index_generations, fresh)


def _retire(connection: Connection, generation_id: str) -> None:
    mine = (index_generations.c.id == generation_id) & _IN_USE
    connection.execute(update(index_generations).where(mine).values(status="retired"))


def _generation(row: Row[Any]) -> Generation:
    return Generation(id=row.id, model=row.model, dimension=row.dimension, status=row.status)
