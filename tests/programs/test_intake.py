"""Taking a program in: all of its files together or nothing, and what is turned away is named."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from generation_service.database.programs import program_files, programs
from generation_service.database.tables import documents, doomed_objects, jobs
from generation_service.errors import Refused
from tests.documents import files
from tests.programs.conftest import SCRIPT, Shelf

MIXED = [
    ("대본.txt", SCRIPT),
    ("빈.txt", b""),
    ("../../x.md", b"# x"),
    ("a.exe", b"MZ\0\0"),
    ("big.txt", b"x" * 70_000),
]


async def test_each_file_is_in_one_status_and_what_is_turned_away_says_why(shelf: Shelf) -> None:
    accepted = await shelf.upload(*MIXED)
    seen = [
        (file.file_name, file.status, file.stage, file.code, file.error_class)
        for file in await shelf.files(accepted.program.id)
    ]

    door = ("failed", "preprocessing")
    assert seen == [
        ("대본.txt", "pending", "preprocessing", None, None),
        ("빈.txt", *door, "empty", "permanent"),
        ("../../x.md", "pending", "preprocessing", None, None),
        ("a.exe", *door, "type_not_taken", "permanent"),
        ("big.txt", *door, "too_large", "permanent"),
    ]
    assert len(accepted.jobs) == len(shelf.rows(documents)) == len(shelf.rows(jobs)) == 2
    assert len(shelf.stored()) == 2
    assert shelf.rows(doomed_objects) == []


async def test_the_order_of_files_is_kept_and_their_jobs_are_delivered_by_the_caller(shelf: Shelf) -> None:
    accepted = await shelf.upload(*((f"{number}.txt", f"본문 {number}".encode()) for number in range(30)))
    seen = await shelf.files(accepted.program.id)

    assert [file.file_name for file in seen] == [f"{number}.txt" for number in range(30)]
    assert {file.job_id for file in seen} == {job.id for job in accepted.jobs}
    assert {job.kind for job in accepted.jobs} == {"program_file"}
    assert (accepted.program.file_count, accepted.program.project_id, accepted.replayed) == (30, "책방", False)


async def test_without_a_project_a_program_is_its_own(shelf: Shelf) -> None:
    accepted = await shelf.upload(("a.txt", b"a"), project_id=None)

    assert accepted.program.project_id == accepted.program.id
    assert shelf.rows(documents)[0].project_id == accepted.program.id


async def test_a_program_without_files_is_refused(shelf: Shelf) -> None:
    with pytest.raises(Refused) as refused:
        await shelf.upload()

    assert (refused.value.code, refused.value.status) == ("program_without_files", 422)


async def test_a_program_of_refused_files_alone_is_one_that_failed(shelf: Shelf) -> None:
    accepted = await shelf.upload(("빈.txt", b""))
    state = await shelf.state(accepted.program.id)

    assert (accepted.jobs, state.status, state.counts["failed"]) == ([], "failed", 1)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"max_program_files": 2}, "program_too_many_files"),
        ({"max_program_bytes": 1024}, "program_too_large"),
        ({"max_user_documents": 2}, "storage_quota_exceeded"),
        ({"max_user_bytes": 1024}, "storage_quota_exceeded"),
    ],
)
async def test_beyond_a_limit_nothing_is_accepted_and_nothing_is_left(shelf: Shelf, code: str) -> None:
    with pytest.raises(Refused) as refused:
        await shelf.upload(*((f"{number}.txt", bytes([65 + number]) * 600) for number in range(3)))

    assert (refused.value.code, refused.value.status) == (code, 413)
    assert shelf.stored() == []
    assert shelf.rows(programs) == shelf.rows(documents) == shelf.rows(program_files) == shelf.rows(jobs) == []


@pytest.mark.parametrize("given", [{"max_program_bytes": 80_000}])
async def test_what_is_not_kept_does_not_count(shelf: Shelf) -> None:
    accepted = await shelf.upload(("big.txt", b"x" * 70_000), ("b.txt", b"y" * 60_000))

    assert [file.status for file in await shelf.files(accepted.program.id)] == ["failed", "pending"]


async def test_an_upload_that_breaks_off_leaves_nothing(shelf: Shelf) -> None:
    async def cut() -> Any:
        yield b"text"
        raise EOFError

    async with shelf.programs.intake() as intake:
        await intake.add("a.txt", files.chunks_of(SCRIPT))
        with pytest.raises(EOFError):
            await intake.add("b.txt", cut())

    assert shelf.stored() == []
    assert [row.rounds for row in shelf.rows(doomed_objects)] == [0]  # and is looked at once more


async def test_what_a_lost_process_has_stored_is_doomed(shelf: Shelf) -> None:
    intake = shelf.programs.intake()
    await intake.add("a.txt", files.chunks_of(SCRIPT))

    (doomed,) = shelf.rows(doomed_objects)
    assert all(key.startswith(doomed.prefix) for key in shelf.stored())
    assert shelf.stored()


async def test_the_same_key_makes_one_program_however_many_ask_at_once(shelf: Shelf) -> None:
    wanted = [("a.txt", SCRIPT), ("빈.txt", b"")]
    accepted = await asyncio.gather(*(shelf.upload(*wanted, key="once") for _ in range(8)))

    assert len({one.program.id for one in accepted}) == 1
    assert sorted(one.replayed for one in accepted) == [False] + [True] * 7
    assert len(shelf.stored()) == len(shelf.rows(documents)) == len(shelf.rows(jobs)) == 1


@pytest.mark.parametrize(
    ("wanted", "given_otherwise"),
    [([("a.txt", b"other")], {}), ([("b.txt", SCRIPT)], {}), ([("a.txt", SCRIPT)], {"use_multimodal": True})],
)
async def test_the_same_key_with_other_content_is_refused(
    shelf: Shelf, wanted: list[tuple[str, bytes]], given_otherwise: dict[str, Any]
) -> None:
    await shelf.upload(("a.txt", SCRIPT), key="once")
    with pytest.raises(Refused) as refused:
        await shelf.upload(*wanted, key="once", **given_otherwise)

    assert (refused.value.code, refused.value.status) == ("idempotency_key_reused", 422)
    assert (await shelf.upload(("a.txt", b"x"), key="once", user_id="ben", project_id="p")).replayed is False


async def test_the_same_content_in_a_project_is_named(shelf: Shelf) -> None:
    first = await shelf.upload(("a.txt", SCRIPT))
    second = await shelf.upload(("b.txt", SCRIPT), ("c.txt", b"new"), ("d.txt", b"new"))
    other = await shelf.upload(("a.txt", SCRIPT), project_id="다른 책방")

    (original,) = await shelf.files(first.program.id)
    b, c, d = await shelf.files(second.program.id)
    assert (original.duplicate_of, b.duplicate_of) == (None, original.document_id)
    assert (c.duplicate_of, d.duplicate_of) == (None, c.document_id)
    assert (await shelf.files(other.program.id))[0].duplicate_of is None


async def test_another_users_project_is_not_found(shelf: Shelf) -> None:
    await shelf.upload(("a.txt", SCRIPT))
    with pytest.raises(Refused) as refused:
        await shelf.upload(("a.txt", SCRIPT), user_id="ben")

    assert (refused.value.code, len(shelf.stored())) == ("project_not_found", 1)


async def test_three_hundred_files_are_accepted_in_one_transaction(shelf: Shelf) -> None:
    accepted = await shelf.upload(*((f"{number}.txt", f"본문 {number}".encode()) for number in range(300)))

    count = select(func.count()).select_from(program_files)
    assert shelf.database.read_now(lambda connection: connection.execute(count).scalar_one()) == 300
    assert len(accepted.jobs) == 300
