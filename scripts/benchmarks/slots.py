"""The row `slots`: two hundred jobs that wait for a model at once in one worker process, its time and its memory."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from subprocess import SubprocessError

import httpx2

from generation_service.errors import ConfigurationError
from scripts.benchmarks.ground import Ground
from scripts.benchmarks.model import Figure, Size
from scripts.benchmarks.peers import waiting
from scripts.benchmarks.running import Running
from scripts.benchmarks.service import NotReady, Service
from scripts.benchmarks.work import submit, wait_until_ended
from scripts.embedded.ports import free_port
from scripts.embedded.waiting import wait_until

SECONDS_GOAL, MEMORY_GOAL, FURTHER_GOAL = 4.0, 200.0, 0.5

_JOBS: Mapping[Size, int] = {"full": 200, "small": 10}
_MOST_SECONDS = 300.0
_SAMPLE_SECONDS = 0.1
_START_SECONDS = 30.0

Rounds = defaultdict[str, list[float]]


class Slots:
    """Jobs of the recipe `script` with a language model, as many slots as jobs, submitted before the worker starts.

    The model is a server of our own that answers each call after 333 ms. Time: from the first claim to the last
    ending. Memory: resident (RSS) of the worker and its children; a further job's is the difference between twice as
    many calls held open at once and as many, in one worker.
    """

    name = "slots"
    caption = "200 jobs at once on 200 slots, three model calls of 333 ms each"

    def measure(self, ground: Ground, size: Size) -> list[Figure]:
        rounds: Rounds = defaultdict(list)
        missing: dict[str, str] = {}
        with model_server(ground) as model:
            for number in range(ground.rounds):
                ground.say(f"round {number + 1} of {ground.rounds}")
                _round(ground, model, _JOBS[size], rounds, missing)
        return _figures(ground, _JOBS[size], rounds, missing)


class Model:
    """The model's server as a benchmark steers it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=10, trust_env=False)

    def settings(self) -> dict[str, str]:
        """The variables with which the service calls it."""
        return {"LLM_PROVIDER": "openai", "LLM_BASE_URL": f"{self.url}/v1", "LLM_MODEL": "benchmark"}

    def hold(self) -> None:
        """Answer nobody from now on."""
        self._http.post("/hold")

    def release(self) -> None:
        """Answer whoever waits, and everybody from now on."""
        self._http.post("/release")

    def open_calls(self) -> int:
        """How many calls are open."""
        return int(self._http.get("/open").text)

    def close(self) -> None:
        self._http.close()

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return self.open_calls() >= 0
        except httpx2.TransportError:
            return False


@contextmanager
def model_server(ground: Ground) -> Iterator[Model]:
    """The server in a process of its own."""
    port = free_port()
    running = Running(ground.module("scripts.benchmarks.model_server", str(port), str(waiting.CALL_SECONDS)), "model")
    model = Model(f"http://127.0.0.1:{port}")
    try:
        if not wait_until(lambda: model.answers() or not running.alive, _START_SECONDS) or not running.alive:
            raise NotReady(f"the model's server did not start\n{running.last_lines()}")
        yield model
    finally:
        model.close()
        running.kill()


def _round(ground: Ground, model: Model, count: int, rounds: Rounds, missing: dict[str, str]) -> None:
    for library in waiting.LIBRARIES:
        _peer(ground, library, count, rounds, missing)
    for engine in ground.engines:
        try:
            _ours(ground, model, engine, count, rounds)
        except ConfigurationError as error:
            missing[engine] = error.message.partition("\n")[0]


def _peer(ground: Ground, library: str, count: int, rounds: Rounds, missing: dict[str, str]) -> None:
    if not waiting.is_installed(library):
        missing[library] = f"{library} is not installed (extra `bench`)"
        return
    try:
        seconds, resident = waiting.measure(ground, library, count)
    except SubprocessError as error:
        # Its own words name the command, and with it a path of this machine.
        missing[library] = f"{library} failed in one of its rounds: {type(error).__name__}"
        return
    rounds[library].append(seconds)
    rounds[f"{library} memory"].append(resident)
    ground.say(f"{library}: {seconds:.2f} s, {resident:.0f} MB")


def _ours(ground: Ground, model: Model, engine: str, count: int, rounds: Rounds) -> None:
    with ground.database(engine) as url, ground.service(url, **_variables(model, count)) as service:
        submit(service, count)
        worker = service.worker()
        before = worker.cpu_seconds()
        with _peak(worker) as peak:
            span = wait_until_ended(service, worker, count, seconds=_MOST_SECONDS)
        spent = worker.cpu_seconds() - before
        if span.completed < count:
            raise RuntimeError(f"{span.completed} of {count} jobs completed")
    with ground.database(engine) as url, ground.service(url, **_variables(model, 2 * count)) as service:
        further = _further(service, model, count)
    ground.say(
        f"{engine}: {span.seconds:.2f} s, {spent:.2f} s of processor, {max(peak):.0f} MB, {further:.2f} MB further"
    )
    rounds[engine].append(span.seconds)
    rounds[f"{engine} cpu"].append(spent)
    rounds[f"{engine} memory"].append(max(peak))
    rounds[f"{engine} further"].append(further)


def _further(service: Service, model: Model, count: int) -> float:
    """The MB of each job beyond `count`, from one worker that holds `count` calls open and then twice as many."""
    worker = service.worker()
    model.hold()
    try:
        held = [_resident(service, model, worker, count, total) for total in (count, 2 * count)]
    finally:
        model.release()
    wait_until_ended(service, worker, 2 * count, seconds=_MOST_SECONDS)
    return (held[1] - held[0]) / count


def _resident(service: Service, model: Model, worker: Running, count: int, total: int) -> float:
    submit(service, count)
    service.until(worker, lambda: model.open_calls() == total)
    return worker.rss_mb()


def _variables(model: Model, slots: int) -> dict[str, str]:
    return {**model.settings(), "WORKER_CONCURRENCY": str(slots)}


@contextmanager
def _peak(worker: Running) -> Iterator[list[float]]:
    """Looks at the worker's resident memory ten times a second while the context lasts; all that was seen."""
    seen: list[float] = [worker.rss_mb()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            seen.append(worker.rss_mb())

    thread = threading.Thread(target=look, name="peak")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _figures(ground: Ground, count: int, rounds: Rounds, missing: Mapping[str, str]) -> list[Figure]:
    figures = [figure for engine in ground.engines for figure in _of_engine(engine, count, rounds, missing.get(engine))]
    return figures + [_of_peer(library, count, rounds, missing.get(library)) for library in waiting.LIBRARIES]


def _of_engine(engine: str, count: int, rounds: Rounds, missing: str | None) -> Iterator[Figure]:
    asked = (
        (f"{count} jobs at once, {engine}", "s", SECONDS_GOAL, engine),
        (f"processor time of all of them, {engine}", "s", None, f"{engine} cpu"),
        (f"memory of the worker, {engine}", "MB", MEMORY_GOAL, f"{engine} memory"),
        (f"memory of each further job, {engine}", "MB", FURTHER_GOAL, f"{engine} further"),
    )
    for name, unit, goal, key in asked:
        yield Figure(name=name, unit=unit, better="less", rounds=rounds[key], goal=goal, missing=missing)


def _of_peer(library: str, count: int, rounds: Rounds, missing: str | None) -> Figure:
    resident = rounds[f"{library} memory"]
    note = f"{max(resident):.0f} MB; only waits, commits nothing" if resident else ""
    name = f"{count} jobs that only wait, {library}"
    return Figure(name=name, unit="s", better="less", rounds=rounds[library], missing=missing, note=note)


ROW = Slots()
