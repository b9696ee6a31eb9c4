"""The client of OpenAI-compatible servers, against a server that can fail in every way we know of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.model import Usage
from generation_service.llm import Material, Message, ModelCall, Reply
from generation_service.llm.server import ServerModel
from tests.support.faults import ANSWERS
from tests.support.provider import Provider


@pytest.fixture
async def model(provider: Provider) -> AsyncIterator[ServerModel]:
    made = ServerModel(base_url=provider.base_url, model="mock", api_key="s3cret", read_timeout_seconds=0.3)
    yield made
    await made.aclose()


def call_for(step: str = "insight", attempt: int = 1, *, structured: bool = False) -> ModelCall:
    return ModelCall(
        job_id="job-1",
        step=step,
        attempt=attempt,
        task="insight",
        language="ko",
        messages=[Message(role="system", content="쓰라"), Message(role="user", content="자료")],
        material=Material(form="script", title="밤"),
        max_output_tokens=321,
        structured=structured,
    )


async def whole(model: ServerModel, call: ModelCall | None = None, begun: list[Reply] | None = None) -> Reply:
    async with model.open(call or call_for()) as reply:
        if begun is not None:
            begun.append(reply)
        async for _ in reply:
            pass
    return reply


async def test_a_text_arrives_whole_and_in_pieces(model: ServerModel) -> None:
    pieces = []
    async with model.open(call_for()) as reply:
        async for piece in reply:
            pieces.append(piece)  # noqa: PERF401 - the loop is what is tested

    assert "".join(pieces) == reply.text == ANSWERS["insight"]
    assert len(pieces) > 5
    assert reply.usage == Usage(input_tokens=100, output_tokens=len(ANSWERS["insight"]) // 4, model="mock")
    assert not reply.estimated
    assert not reply.truncated


async def test_each_call_says_who_asks(model: ServerModel, provider: Provider) -> None:
    await whole(model, call_for("signal", attempt=2))

    call = provider.calls[0]
    assert (call.job_id, call.step, call.attempt) == ("job-1", "signal", "2")
    assert call.authorization == "Bearer s3cret"
    assert call.body["stream"] is True
    assert call.body["stream_options"] == {"include_usage": True}
    assert call.body["max_tokens"] == 321
    assert call.body["messages"][0] == {"role": "system", "content": "쓰라"}


async def test_the_key_is_the_same_for_the_same_step_of_the_same_job(model: ServerModel, provider: Provider) -> None:
    for step, attempt in (("signal", 1), ("signal", 2), ("insight", 1)):
        await whole(model, call_for(step, attempt))

    first, again, other = (call.key for call in provider.calls)
    assert first == again != other


TRANSIENT = {
    "request_timeout": "provider_unavailable",
    "conflict": "provider_unavailable",
    "rate_limit": "provider_rate_limited",
    "rate_limit_bare": "provider_rate_limited",
    "server_error": "provider_unavailable",
    "bad_gateway": "provider_unavailable",
    "unavailable": "provider_unavailable",
    "gateway_timeout": "provider_unavailable",
    "no_answer": "provider_timeout",
    "hang": "provider_timeout",
    "cut": "provider_broken_stream",
    "no_end": "provider_broken_stream",
    "error_event": "provider_broken_stream",
    "garbage": "provider_broken_stream",
    "empty": "provider_empty",
}
PERMANENT = {
    "bad_request": "provider_bad_request",
    "unprocessable": "provider_bad_request",
    "context_length": "context_length_exceeded",
    "content_filter": "content_policy",
    "content_policy": "content_policy",
    "filter_event": "content_policy",
    "finish_filter": "content_policy",
    "refusal": "content_policy",
    "unauthorized": "provider_unauthorized",
    "forbidden": "provider_forbidden",
    "not_found": "provider_not_found",
    "quota": "provider_quota",
}


@pytest.mark.parametrize(("fault", "code"), TRANSIENT.items())
async def test_what_passes_is_transient_and_is_asked_once(
    model: ServerModel, provider: Provider, fault: str, code: str
) -> None:
    provider.fail("insight", fault)

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.code == code
    assert provider.count() == 1


@pytest.mark.parametrize(("fault", "code"), PERMANENT.items())
async def test_what_no_retry_can_mend_is_permanent_and_is_asked_once(
    model: ServerModel, provider: Provider, fault: str, code: str
) -> None:
    provider.fail("insight", fault)

    with pytest.raises(PermanentError) as raised:
        await whole(model)

    assert raised.value.code == code
    assert provider.count() == 1


@pytest.mark.parametrize(
    ("fault", "least", "most"), [("rate_limit", 7, 7), ("unavailable", 3, 3), ("rate_limit_date", 25, 31)]
)
async def test_retry_after_is_told_in_seconds_or_as_a_date(
    model: ServerModel, provider: Provider, fault: str, least: float, most: float
) -> None:
    provider.fail("insight", fault)

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.retry_after is not None
    assert least <= raised.value.retry_after <= most


async def test_a_server_that_is_not_there_is_transient() -> None:
    model = ServerModel(base_url="http://127.0.0.1:9/v1", model="mock")

    with pytest.raises(TransientError) as raised:
        await whole(model)

    assert raised.value.code == "provider_unreachable"
    await model.aclose()


@pytest.mark.parametrize("fault", ["null_finish", "no_done", "no_usage"])
async def test_a_stream_that_said_either_end_mark_is_whole(model: ServerModel, provider: Provider, fault: str) -> None:
    provider.fail("insight", fault)

    reply = await whole(model)

    assert reply.text == ANSWERS["insight"]
    assert reply.estimated == (fault == "no_usage")
    assert reply.usage.output_tokens > 0


async def test_a_text_cut_by_the_limit_is_marked(model: ServerModel, provider: Provider) -> None:
    provider.fail("insight", "length")

    assert (await whole(model)).truncated


async def test_unicode_line_separators_do_not_part_an_event(model: ServerModel, provider: Provider) -> None:
    provider.fail("insight", "separators")

    assert (await whole(model)).text.startswith("앞\u2028뒤\u0085끝 ")


async def test_a_broken_stream_still_knows_about_what_it_cost(model: ServerModel, provider: Provider) -> None:
    provider.fail("insight", "cut")

    begun: list[Reply] = []
    with pytest.raises(TransientError):
        await whole(model, begun=begun)

    reply = begun[0]
    assert reply.text
    assert reply.estimated
    assert reply.usage.output_tokens > 0


async def test_a_cancelled_call_closes_its_stream_at_once(model: ServerModel, provider: Provider) -> None:
    # Given a call that the provider keeps open
    provider.hold("insight")
    task = asyncio.create_task(whole(model))
    await asyncio.to_thread(provider.wait_until_held, "insight")

    # When it is cancelled
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # Then the provider sees the client go
    await asyncio.to_thread(provider.wait_for, lambda: provider.calls[0].outcome == "disconnected")


async def test_leaving_in_the_middle_closes_the_stream(model: ServerModel, provider: Provider) -> None:
    provider.hold("insight")

    async with model.open(call_for()) as reply, aclosing(aiter(reply)) as pieces:
        await anext(pieces)

    await asyncio.to_thread(provider.wait_for, lambda: provider.calls[0].outcome == "disconnected")


async def test_hundreds_of_calls_at_once_share_one_client(provider: Provider) -> None:
    model = ServerModel(base_url=provider.base_url, model="mock", read_timeout_seconds=30)
    provider.hold("insight")

    calls = [asyncio.create_task(whole(model)) for _ in range(200)]
    await asyncio.to_thread(provider.wait_until_held, "insight", 200)
    provider.release("insight")

    replies = await asyncio.gather(*calls)
    assert {reply.text for reply in replies} == {ANSWERS["insight"]}
    await model.aclose()


async def test_a_json_answer_is_asked_for_where_that_is_configured(provider: Provider) -> None:
    model = ServerModel(base_url=provider.base_url, model="mock", response_format="json_object")

    await whole(model, call_for("signal", structured=True))
    await whole(model, call_for("insight"))

    assert [call.body.get("response_format") for call in provider.calls] == [{"type": "json_object"}, None]
    await model.aclose()


async def test_a_fault_may_be_the_models_name(provider: Provider) -> None:
    model = ServerModel(base_url=provider.base_url, model="unauthorized")

    with pytest.raises(PermanentError):
        await whole(model)

    await model.aclose()
