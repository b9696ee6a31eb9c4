"""The event stream over a real socket: complete, resumable, bounded, and ended in peace."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from generation_service.api.failures import told_in
from generation_service.jobs.model import JobId
from generation_service.jobs.ports import StepOutcome, StepRun
from tests.api.conftest import Api, ApiRuntime, GenerationToy, Served, api_over, served
from tests.support.settings import SettingsFor

ENOUGH_SECONDS = 20


@dataclass
class Reading:
    """What one connection brought: its events, its comments, its `retry:` values."""

    status: int
    headers: Any
    events: list[dict[str, Any]] = field(default_factory=list)
    comments: int = 0
    retries: list[int] = field(default_factory=list)

    @property
    def sequences(self) -> list[int]:
        return [event["id"] for event in self.events]


def take(reading: Reading, block: str) -> None:
    fields = [line.partition(":")[::2] for line in block.splitlines()]
    found = {name: value.strip() for name, value in fields}
    if "data" in found:
        reading.events.append({"id": int(found["id"]), "event": found["event"], "data": json.loads(found["data"])})
    elif "retry" in found:
        reading.retries.append(int(found["retry"]))
    elif "" in found:
        reading.comments += 1


@asynccontextmanager
async def open_stream(
    http: httpx2.AsyncClient, url: str, **headers: str
) -> AsyncIterator[tuple[Reading, AsyncIterator[str]]]:
    async with http.stream("GET", url, headers=headers) as answer:
        reading = Reading(answer.status_code, answer.headers)

        async def blocks() -> AsyncIterator[str]:
            rest = ""
            async for text in answer.aiter_text():
                *whole, rest = (rest + text.replace("\r\n", "\n")).split("\n\n")
                for block in whole:
                    take(reading, block)
                    yield block

        yield reading, blocks()


async def read(http: httpx2.AsyncClient, url: str, **headers: str) -> Reading:
    """Read a stream to its end; a body that is cut raises."""
    async with asyncio.timeout(ENOUGH_SECONDS), open_stream(http, url, **headers) as (reading, blocks):
        async for _ in blocks:
            pass
        return reading


async def until_first(blocks: AsyncIterator[str]) -> None:
    async with asyncio.timeout(ENOUGH_SECONDS):
        await anext(blocks)


async def test_a_stream_begins_with_retry_and_brings_every_event_in_order(server: Served) -> None:
    job = await server.completed()

    reading = await read(server.http, job["urls"]["events"])

    last = (await server.runtime.jobs.get(job["job_id"])).seq
    assert reading.status == 200
    assert reading.headers["Content-Type"].startswith("text/event-stream")
    assert "no-cache" in reading.headers["Cache-Control"]
    assert reading.headers["X-Accel-Buffering"] == "no"
    assert len(reading.retries) == 1
    assert reading.sequences == list(range(1, last + 1))
    assert [event["data"]["sequence"] for event in reading.events] == reading.sequences
    assert (reading.events[0]["event"], reading.events[-1]["event"]) == ("status", "completed")
    assert {"step", "token"} <= {event["event"] for event in reading.events}


async def test_a_stream_resumes_behind_the_event_it_is_told(server: Served) -> None:
    url = (await server.completed())["urls"]["events"]
    whole = (await read(server.http, url)).sequences

    assert (await read(server.http, url, **{"Last-Event-ID": "5"})).sequences == whole[5:]
    assert (await read(server.http, f"{url}?after=7")).sequences == whole[7:]
    assert (await read(server.http, f"{url}?after=7", **{"Last-Event-ID": "5"})).sequences == whole[5:]


async def test_nothing_more_is_204(server: Served) -> None:
    job = await server.completed()
    last = (await server.runtime.jobs.get(job["job_id"])).seq

    answer = await server.http.get(job["urls"]["events"], headers={"Last-Event-ID": str(last)})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [("", {"Last-Event-ID": "x"}, 400), ("?after=-1", {}, 422), ("?after=x", {}, 422), (f"?after={10**30}", {}, 422)],
)
async def test_a_place_that_cannot_be_is_refused_before_the_stream_begins(
    small_api: Api, query: str, headers: dict[str, str], status: int
) -> None:
    job = await small_api.submit()

    answer = await small_api.http.get(job["urls"]["events"] + query, headers=headers)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_two_readers_see_a_running_job_the_same_way(server: Served) -> None:
    job = await server.submit()
    readers = [asyncio.create_task(read(server.http, job["urls"]["events"])) for _ in range(2)]

    await server.runtime.run(job["job_id"])
    one, other = await asyncio.gather(*readers)

    assert one.events == other.events
    assert one.sequences == list(range(1, len(one.events) + 1))


async def test_events_that_no_wakeup_told_of_are_found(server: Served) -> None:
    job = await server.submit()
    async with open_stream(server.http, job["urls"]["events"]) as (reading, blocks):
        await until_first(blocks)

        await server.runtime.core.run(await server.runtime.jobs.get(job["job_id"]))  # wakes nobody here
        async with asyncio.timeout(ENOUGH_SECONDS):
            async for _ in blocks:
                pass

    assert reading.events[-1]["event"] == "completed"


async def test_a_stream_goes_on_behind_an_ending_that_was_taken_back(server: Served, kind: GenerationToy) -> None:
    async def fail(run: StepRun) -> StepOutcome:
        raise ConnectionError("away")

    good, kind.toy_steps["signal"].body = kind.toy_steps["signal"].body, fail
    job = await server.submit({"project_id": "p", "episode_data": {"title": "t"}, "max_attempts": 1})
    await server.runtime.run(job["job_id"])
    kind.toy_steps["signal"].body = good
    await server.http.post(job["urls"]["retry"])
    await server.runtime.run(job["job_id"])

    reading = await read(server.http, job["urls"]["events"])

    types = [event["event"] for event in reading.events]
    assert types.index("failed") < types.index("retry") < types.index("completed") == len(types) - 1


async def test_a_drain_ends_streams_cleanly_and_quickly(sqlite_runtime: ApiRuntime) -> None:
    async with served(sqlite_runtime) as server:
        job = await server.submit()
        async with open_stream(server.http, job["urls"]["events"]) as (reading, blocks):
            await until_first(blocks)
            server.server.should_exit = True

            async with asyncio.timeout(5):
                async for _ in blocks:  # a body that is cut would raise here
                    pass

        assert reading.sequences == [1]


async def test_a_stream_that_is_opened_during_a_drain_is_200_and_ends(server: Served) -> None:
    job = await server.submit()
    server.app.state.drain.begin()

    reading = await read(server.http, job["urls"]["events"])

    assert (reading.status, len(reading.retries)) == (200, 1)


async def test_a_stream_that_is_resumed_during_a_drain_ends_though_nothing_is_new(server: Served) -> None:
    job = await server.submit()
    server.app.state.drain.begin()

    async with asyncio.timeout(5):
        reading = await read(server.http, job["urls"]["events"], **{"Last-Event-ID": "1"})

    assert (reading.status, reading.sequences) == (200, [])


async def test_a_stream_that_is_too_old_ends_and_can_be_resumed(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(stream_max_age_seconds=0.2), sqlite_runtime.database, kind)
    async with served(runtime) as server:
        job = await server.submit()

        assert (await read(server.http, job["urls"]["events"])).sequences == [1]
        assert (await read(server.http, job["urls"]["events"], **{"Last-Event-ID": "1"})).sequences == []


async def test_an_idle_stream_is_kept_alive_by_comments(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(stream_ping_seconds=0.05), sqlite_runtime.database, kind)
    async with served(runtime) as server:
        job = await server.submit()
        async with open_stream(server.http, job["urls"]["events"]) as (reading, blocks):
            async with asyncio.timeout(ENOUGH_SECONDS):
                while reading.comments < 2:
                    await anext(blocks)


async def test_beyond_the_cap_a_stream_is_refused_and_a_closed_one_makes_room(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(max_streams=1), sqlite_runtime.database, kind)
    async with served(runtime) as server:
        job = await server.submit()
        async with open_stream(server.http, job["urls"]["events"]) as (_, blocks):
            await until_first(blocks)
            refused = await server.http.get(job["urls"]["events"])

            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert "Retry-After" in refused.headers
        await all_closed(server)


async def all_closed(api: Api) -> None:
    async with asyncio.timeout(ENOUGH_SECONDS):
        while api.app.state.streams.slots.taken:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def test_a_reader_that_is_gone_before_the_first_byte_leaves_no_slot_taken(small_api: Api) -> None:
    job = await small_api.submit()
    stream = small_api.app.state.streams.open(await small_api.runtime.jobs.get(job["job_id"]), 0, told_in("en"))

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def nowhere(message: Message) -> None:
        raise OSError("the connection is closed")

    with pytest.raises(OSError, match="closed"):
        await stream({"type": "http", "method": "GET", "headers": []}, gone, nowhere)

    assert small_api.app.state.streams.slots.taken == 0
    assert small_api.runtime.wakeups.watched() == set()


async def test_a_reader_that_takes_nothing_is_dropped(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    async def flood(run: StepRun) -> StepOutcome:
        for _ in range(200):
            await run.token("x" * 100_000)
        return StepOutcome(output={})

    kind.toy_steps["snapshot"].body = flood
    runtime = ApiRuntime(settings_for(stream_send_timeout_seconds=0.3), sqlite_runtime.database, kind)
    async with served(runtime) as server:
        job = await server.submit()
        await server.runtime.run(job["job_id"])
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"GET {job['urls']['events']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(ENOUGH_SECONDS):
                while not server.app.state.streams.slots.taken:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)

            await all_closed(server)


async def test_a_stream_that_has_much_to_say_says_it_in_few_messages(small_api: Api, kind: GenerationToy) -> None:
    """Given a log of small events and one large one: messages of about 64 KB, each event whole and in order."""

    async def talk(run: StepRun) -> StepOutcome:
        await run.token("x" * 200_000)
        return StepOutcome(output={})

    kind.toy_steps["snapshot"].body = talk
    job = await small_api.submit()
    await small_api.runtime.run(job["job_id"])
    ended = await small_api.runtime.jobs.get(job["job_id"])
    sent: list[bytes] = []

    async def still_there() -> Message:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    stream = small_api.app.state.streams.open(ended, 0, told_in("en"))
    await stream({"type": "http", "method": "GET", "headers": []}, still_there, send)

    text = b"".join(sent).decode()
    numbers = [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(1, ended.seq + 1))
    assert len(sent) <= 6  # the head, retry, the events in at most three, the end


async def test_another_users_stream_is_404_and_nobodys_401(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana", "b": "ben"}), sqlite_runtime.database, kind)
    async with api_over(runtime) as api:
        url = (await api.submit(Authorization="Bearer a"))["urls"]["events"]

        assert (await api.http.get(url)).status_code == 401
        assert (await api.http.get(f"{url}?token=a")).status_code == 401
        assert (await api.http.get(url, headers={"Authorization": "Bearer b"})).status_code == 404


async def test_a_ticket_opens_a_stream_once_and_its_cookie_lets_a_browser_come_back(
    settings_for: SettingsFor, sqlite_runtime: ApiRuntime, kind: GenerationToy
) -> None:
    runtime = ApiRuntime(settings_for(api_tokens={"a": "ana"}), sqlite_runtime.database, kind)
    async with served(runtime) as server:
        token = {"Authorization": "Bearer a"}
        job = await server.submit(**token)
        await server.runtime.run(job["job_id"])
        made = await server.http.post("/api/stream-tickets", headers=token)
        url = f"{job['urls']['events']}?ticket={made.json()['ticket']}"
        assert (made.status_code, made.json()["expires_in_seconds"]) == (201, 60)

        first = await read(server.http, url)
        cookie = first.headers["Set-Cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/api"))
        again = await read(server.http, url, **{"Last-Event-ID": "3"})  # the client kept the cookie
        assert again.sequences == first.sequences[3:]
        server.http.cookies.clear()
        assert (await server.http.get(url)).status_code == 401


async def test_a_stream_survives_a_thousand_events_that_are_written_while_it_reads(
    server: Served, kind: GenerationToy
) -> None:
    async def talk(run: StepRun) -> StepOutcome:
        for number in range(1000):
            await run.write(lambda _connection: None)
            await run.progress(number / 1000)
        return StepOutcome(output={})

    kind.toy_steps["snapshot"].body = talk
    job = await server.submit()
    reader = asyncio.create_task(read(server.http, job["urls"]["events"]))

    await server.runtime.run(job["job_id"])
    reading = await reader

    assert reading.sequences == list(range(1, (await server.runtime.jobs.get(JobId(job["job_id"]))).seq + 1))
