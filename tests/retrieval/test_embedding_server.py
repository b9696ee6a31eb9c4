"""Embeddings over HTTP: few calls, vectors in the order of their texts, and what each failure means."""

import asyncio
import json

import pytest

from generation_service.embeddings import open_embedder
from generation_service.embeddings.server import EmbeddingServer
from generation_service.errors import PermanentError, TransientError
from generation_service.jobs.model import Usage
from tests.support.embeddings import EmbeddingServerDouble, Fault, vector
from tests.support.settings import SettingsFor

TEXTS = [f"{number}번째 장면의 지문" for number in range(48)]


def nothing_spent(usage: Usage) -> None:
    raise AssertionError(f"nothing was answered, yet {usage} was spent")


async def test_forty_eight_texts_are_two_calls(embedder: EmbeddingServer, served: EmbeddingServerDouble) -> None:
    spent: list[Usage] = []

    found = await embedder.embed(TEXTS, spend=spent.append)

    assert sorted(len(call["input"]) for call in served.calls) == [16, 32]
    assert found == [vector("hash-64", text) for text in TEXTS]
    assert sum(one.input_tokens for one in spent) == sum(len(text) for text in TEXTS)
    assert {(call["path"], call["authorization"], call["model"]) for call in served.calls} == {
        ("/v1/embeddings", "Bearer key-of-tests", "hash-64")
    }
    assert {one.model for one in spent} == {"hash-64"}


async def test_so_many_calls_are_made_at_once_and_one_is_kept_for_who_waits(served: EmbeddingServerDouble) -> None:
    client = EmbeddingServer(served.base_url, "hash-8", batch=1, concurrency=3)
    served.hold()
    indexing = asyncio.create_task(client.embed(TEXTS[:9], spend=lambda _: None))
    await served.calls_at_once(2)

    asking = asyncio.create_task(client.embed(["누가 왔나"], spend=lambda _: None, urgent=True))
    await served.calls_at_once(3)
    served.release()
    await asyncio.gather(indexing, asking)
    await client.aclose()

    assert (served.most_at_once, len(served.calls)) == (3, 10)


@pytest.mark.parametrize(
    ("fault", "code", "wait"),
    [
        (Fault(429, (("Retry-After", "7"),)), "embedding_rate_limited", 7.0),
        (Fault(503), "embedding_unavailable", None),
        (Fault(500), "embedding_unavailable", None),
        (Fault(408), "embedding_unavailable", None),
        (Fault(409), "embedding_unavailable", None),
        (Fault(200, body=b"<html>"), "embedding_unreadable", None),
        (Fault(200, body=b"[]"), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": []}'), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": [{"index": 1, "embedding": [1.0]}]}'), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": [{"index": 0, "embedding": []}]}'), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": [{"index": 0, "embedding": ["x"]}]}'), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": [{"index": 0, "embedding": [NaN]}]}'), "embedding_unreadable", None),
        (Fault(200, body=b" " * 300_000), "embedding_unreadable", None),
        (Fault(200, body=b"[" * 200_000), "embedding_unreadable", None),
        (Fault(200, body=b'{"data": [{"index": 0, "embedding": [1%s]}]}' % (b"0" * 400)), "embedding_unreadable", None),
        (Fault(200, (("Content-Encoding", "gzip"),), b"no gzip"), "embedding_unreachable", None),
    ],
)
async def test_what_passes_is_transient(
    embedder: EmbeddingServer, served: EmbeddingServerDouble, fault: Fault, code: str, wait: float | None
) -> None:
    served.fail(fault)

    with pytest.raises(TransientError) as failed:
        await embedder.embed(["글"], spend=nothing_spent)

    assert (failed.value.code, failed.value.retry_after) == (code, wait)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "embedding_bad_request"),
        (401, "embedding_unauthorized"),
        (403, "embedding_forbidden"),
        (404, "embedding_not_found"),
        (302, "embedding_bad_request"),
    ],
)
async def test_what_does_not_pass_is_permanent(
    embedder: EmbeddingServer, served: EmbeddingServerDouble, status: int, code: str
) -> None:
    served.fail(Fault(status, (("Location", served.base_url),)))

    with pytest.raises(PermanentError) as failed:
        await embedder.embed(["글"], spend=nothing_spent)

    assert failed.value.code == code
    assert len(served.calls) == 1


async def test_a_cost_that_nobody_can_store_is_estimated(
    embedder: EmbeddingServer, served: EmbeddingServerDouble
) -> None:
    answer = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 10**30}}
    served.fail(Fault(200, body=json.dumps(answer).encode()))
    spent: list[Usage] = []

    await embedder.embed(["글"], spend=spent.append)

    assert 0 < spent[0].input_tokens < 10


async def test_a_server_that_says_nothing_is_not_waited_for(served: EmbeddingServerDouble) -> None:
    client = EmbeddingServer(served.base_url, "hash-8", timeout_seconds=0.1)
    served.fail(Fault(body=None))

    with pytest.raises(TransientError) as failed:
        await client.embed(["글"], spend=nothing_spent)
    await client.aclose()

    assert failed.value.code == "embedding_timeout"


async def test_a_server_that_is_away_is_transient() -> None:
    client = EmbeddingServer("http://127.0.0.1:1/v1", "hash-8")

    with pytest.raises(TransientError) as failed:
        await client.embed(["글"], spend=nothing_spent)
    await client.aclose()

    assert failed.value.code == "embedding_unreachable"


async def test_vectors_of_unequal_length_are_refused(embedder: EmbeddingServer, served: EmbeddingServerDouble) -> None:
    items = [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]
    served.fail(Fault(200, body=json.dumps({"data": items}).encode()))

    with pytest.raises(TransientError, match="no vectors"):
        await embedder.embed(["하나", "둘"], spend=nothing_spent)


async def test_a_text_that_cannot_be_sent_is_made_so(embedder: EmbeddingServer, served: EmbeddingServerDouble) -> None:
    await embedder.embed(["", "가\ud800나", "긴" * 9_000], spend=lambda _: None)

    assert [served.calls[0]["input"][0], served.calls[0]["input"][1]] == [" ", "가?나"]
    assert len(served.calls[0]["input"][2]) == 4_000


def test_there_is_none_unless_it_is_configured(settings_for: SettingsFor) -> None:
    assert open_embedder(settings_for()) is None
    found = open_embedder(settings_for(embedding_base_url="http://127.0.0.1:1/v1", embedding_model="m"))
    assert found is not None
    assert (found.model, found.at_once) == ("m", 96)
