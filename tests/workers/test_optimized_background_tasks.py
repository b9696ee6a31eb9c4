"""What follows an answer runs side by side within its bounds, off the event loop where it would block it."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from generation_service.api.after import After
from generation_service.telemetry import current_fields, log_context
from tests.support.toy import until
from workers.optimized_background_tasks import OptimizedBackgroundTasks, TaskPool


@pytest.fixture
async def pool() -> AsyncIterator[TaskPool]:
    found = TaskPool(concurrency=2, threads=2)
    yield found
    await asyncio.to_thread(found.close)


async def test_coroutine_functions_run_side_by_side_and_never_more_than_the_bound(pool: TaskPool) -> None:
    gate, inside, most = asyncio.Event(), 0, 0

    async def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await gate.wait()
        inside -= 1

    tasks = OptimizedBackgroundTasks(pool=pool)
    for _ in range(5):
        tasks.add_task(work)
    running = asyncio.create_task(tasks())

    await until(lambda: _is(pool.active == 2))
    assert (pool.active, pool.waiting) == (2, 3)
    gate.set()
    await running
    assert (most, inside, pool.active, pool.waiting) == (2, 0, 0, 0)


async def test_plain_functions_run_in_threads_of_the_pool_while_the_event_loop_goes_on(pool: TaskPool) -> None:
    """Given more blocking calls than threads: the loop still turns, and what does not fit is counted as waiting."""
    gate, names = threading.Event(), set[str]()

    def block() -> None:
        names.add(threading.current_thread().name)
        assert gate.wait(20)

    tasks = OptimizedBackgroundTasks(pool=pool)
    for _ in range(4):
        tasks.add_task(block)
    running = asyncio.create_task(tasks())

    await until(lambda: _is(pool.active == 2 and len(names) == 2))  # it would never hold if the loop stood still
    assert pool.waiting == 2
    gate.set()
    await running
    assert all(name.startswith("after-answer") for name in names)


async def test_blocking_calls_do_not_hold_up_coroutine_functions(pool: TaskPool) -> None:
    gate, done = threading.Event(), asyncio.Event()

    async def quick() -> None:
        done.set()

    tasks = OptimizedBackgroundTasks(pool=pool)
    for _ in range(5):
        tasks.add_task(gate.wait, 20)
    tasks.add_task(quick)
    running = asyncio.create_task(tasks())

    await asyncio.wait_for(done.wait(), 20)
    gate.set()
    await running


async def test_the_bound_holds_over_all_requests_that_share_a_pool(pool: TaskPool) -> None:
    gate = asyncio.Event()
    requests = [OptimizedBackgroundTasks(pool=pool) for _ in range(4)]
    for tasks in requests:
        tasks.add_task(gate.wait)
    running = [asyncio.create_task(tasks()) for tasks in requests]

    await until(lambda: _is(pool.active == 2))
    assert pool.waiting == 2
    gate.set()
    await asyncio.gather(*running)


async def test_one_that_fails_is_logged_and_the_others_run(pool: TaskPool, caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise RuntimeError("not foreseen")

    async def fail_too() -> None:
        raise RuntimeError("neither")

    tasks = OptimizedBackgroundTasks(pool=pool)
    for task in (fail, fail_too):
        tasks.add_task(task)
    tasks.add_task(ran.append, "a")
    await tasks()

    assert ran == ["a"]
    assert [record.message for record in caplog.records] == ["A background task failed"] * 2
    assert (pool.active, pool.waiting) == (0, 0)


async def test_nothing_is_started_before_the_tasks_are_called(pool: TaskPool) -> None:
    ran: list[int] = []
    tasks = OptimizedBackgroundTasks(pool=pool)

    tasks.add_task(ran.append, 1)
    assert ran == []
    await tasks()

    assert ran == [1]


async def test_a_task_that_is_cancelled_while_it_waits_gives_its_place_back(pool: TaskPool) -> None:
    gate = asyncio.Event()
    first, second = OptimizedBackgroundTasks(pool=pool), OptimizedBackgroundTasks(pool=pool)
    for _ in range(2):
        first.add_task(gate.wait)
    second.add_task(gate.wait)
    running, waiting = asyncio.create_task(first()), asyncio.create_task(second())
    await until(lambda: _is(pool.waiting == 1))

    waiting.cancel()
    await asyncio.wait({waiting})

    assert pool.waiting == 0
    gate.set()
    await running


async def test_a_plain_functions_log_lines_belong_to_the_request(pool: TaskPool) -> None:
    seen: list[object] = []
    tasks = OptimizedBackgroundTasks(pool=pool)
    tasks.add_task(lambda: seen.append(current_fields().get("request_id")))

    with log_context(request_id="r1"):
        await tasks()

    assert seen == ["r1"]


async def test_they_run_after_the_answer_of_a_route_that_asks_for_them(pool: TaskPool) -> None:
    app = FastAPI()
    app.state.tasks = pool
    ran: list[str] = []

    @app.get("/")
    async def route(request: Request, after: After) -> Response:
        after.add_task(ran.append, "plain")
        return JSONResponse({"ran": list(ran)})

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service") as http:
        answer = await http.get("/")

    assert answer.json() == {"ran": []}
    assert ran == ["plain"]


async def test_without_a_shared_pool_they_have_one_of_their_own() -> None:
    ran: list[int] = []
    tasks = OptimizedBackgroundTasks()
    tasks.add_task(ran.append, 1)

    await tasks()

    assert ran == [1]


async def _is(fact: bool) -> bool:  # noqa: FBT001 - a fact, not a switch
    return fact
