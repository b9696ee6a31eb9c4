"""A spool holds one file at a time, and of one that is too large only as much as shows that it is."""

import pytest

from generation_service.api.spool import Spool, opened_spool
from generation_service.settings import MIB


async def held(spool: Spool) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks()])


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 1])
async def test_a_file_comes_out_as_it_went_in(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with opened_spool(8 * MIB) as spool:
        await spool.begin()
        for start in range(0, size, 100_000):
            await spool.add(content[start : start + 100_000])

        assert await held(spool) == content
        assert (spool.size, spool.over) == (size, False)


@pytest.mark.parametrize("limit", [10, 2 * MIB])
async def test_of_a_file_that_is_too_large_one_byte_more_than_may_be_is_kept(limit: int) -> None:
    with opened_spool(limit) as spool:
        await spool.begin()
        for _ in range(5):
            await spool.add(b"x" * limit)

        assert len(await held(spool)) == limit + 1
        assert (spool.size, spool.over) == (5 * limit, True)


@pytest.mark.parametrize("size", [5, 2 * MIB])
async def test_the_next_file_is_held_alone(size: int) -> None:
    with opened_spool(8 * MIB) as spool:
        for letter in (b"a", b"b"):
            await spool.begin()
            await spool.add(letter * size)

        assert await held(spool) == b"b" * size
