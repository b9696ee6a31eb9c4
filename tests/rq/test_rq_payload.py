"""What counts as ours in a queue, and what is foreign."""

import json
import pickle
import zlib

import pytest

from workers.names import job_id_of
from workers.payload import MOST_PAYLOAD_BYTES, Delivery, ForeignEntry, read

JOB = "01a1fd8f-637d-7f42-901d-f5f544ef135a"
RUN = "workers.entrypoints.run_job"
FIRE = "workers.entrypoints.fire_schedules"


def packed(call: object) -> bytes:
    return zlib.compress(json.dumps(call).encode())


@pytest.mark.parametrize(
    ("call", "job_id"), [([RUN, None, [JOB], {}], JOB), ([FIRE, None, [], {}], None)], ids=["job", "tick"]
)
def test_our_entry_points_are_ours(call: object, job_id: str | None) -> None:
    for payload in (packed(call), json.dumps(call).encode()):
        found = read("rag_processing", b"some-id", payload)
        assert isinstance(found, Delivery)
        assert found.job_id == job_id


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (packed(["os.system", None, ["true"], {}]), "foreign_function"),
        (packed([RUN, "instance", [JOB], {}]), "foreign_function"),
        (packed([RUN, None, [JOB, "more"], {}]), "foreign_arguments"),
        (packed([RUN, None, ["../../etc/passwd"], {}]), "foreign_arguments"),
        (packed([RUN, None, [JOB], {"job_id": JOB}]), "foreign_arguments"),
        (packed([FIRE, None, [JOB], {}]), "foreign_arguments"),
        (packed([RUN, None, JOB, {}]), "foreign_function"),
        (packed({"func": RUN}), "unreadable_payload"),
        (packed([RUN]), "unreadable_payload"),
        (zlib.compress(pickle.dumps(("os.system", None, ("true",), {}))), "unreadable_payload"),
        (pickle.dumps((RUN, None, (JOB,), {})), "unreadable_payload"),
        (b"", "unreadable_payload"),
        (b"[" * 30_000, "unreadable_payload"),
        (b"[" + b"9" * 10_000 + b"]", "unreadable_payload"),
        (zlib.compress(b" " * 50_000_000), "oversized_payload"),
        (b" " * (MOST_PAYLOAD_BYTES + 1), "oversized_payload"),
        (None, "missing_payload"),
    ],
    ids=lambda value: value if isinstance(value, str) else "payload",
)
def test_anything_else_is_foreign_and_kept_as_it_was(payload: bytes | None, reason: str) -> None:
    found = read("rag_processing", b"some-id", payload)

    assert isinstance(found, ForeignEntry)
    assert (found.reason, found.raw, found.rq_id) == (reason, payload or b"", "some-id")


def test_an_id_that_is_not_text_is_foreign() -> None:
    found = read("rag_processing", b"\xff\xfe", packed([RUN, None, [JOB], {}]))

    assert isinstance(found, ForeignEntry)
    assert (found.reason, found.raw_id) == ("foreign_id", b"\xff\xfe")


def test_an_id_without_its_payload_still_names_its_job() -> None:
    found = read("rag_processing", f"{JOB}-12".encode(), None)

    assert isinstance(found, Delivery)
    assert (found.job_id, found.has_payload) == (JOB, False)


@pytest.mark.parametrize("rq_id", ["tick-1700000000", JOB, f"{JOB}-", f"{JOB}-x", f"{JOB}1", "", "-" * 36 + "-1"])
def test_an_id_of_another_form_names_no_job(rq_id: str) -> None:
    assert job_id_of(rq_id) is None or not job_id_of(rq_id)
    assert isinstance(read("rag_processing", rq_id.encode(), None), ForeignEntry)
