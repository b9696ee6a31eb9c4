"""The peer of the submission row: a bare FastAPI application whose routes only call RQ's `Queue.enqueue`.

    REDIS_URL=... python -m uvicorn scripts.benchmarks.peers.rq_enqueue:app

`/sync` is a plain function, which FastAPI runs in a thread, as RQ's own examples have it; `/async` calls
the same from the event loop, which blocks it for each round trip and is still the faster of the two on
few cores. Which of them counts is measured, not chosen.
"""

import os
from typing import Any

from fastapi import FastAPI
from redis import Redis
from rq import Queue

app = FastAPI()
_queue = Queue("peer", connection=Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/5")))


def nothing(title: str) -> str:
    """The job: it does nothing."""
    return title


@app.post("/sync", status_code=202)
def enqueue_from_a_thread(body: dict[str, Any]) -> dict[str, str]:
    """Enqueue, as a plain function."""
    return {"job_id": _queue.enqueue(nothing, body["project_id"]).id}


@app.post("/async", status_code=202)
async def enqueue_on_the_loop(body: dict[str, Any]) -> dict[str, str]:
    """Enqueue, as a coroutine."""
    return {"job_id": _queue.enqueue(nothing, body["project_id"]).id}
