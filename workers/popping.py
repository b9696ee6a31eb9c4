"""The thread that takes deliveries from the queues, whenever this worker has room, and never waits inside Redis."""

import threading
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from workers import scripts
from workers.names import queue_key
from workers.payload import MOST_PAYLOAD_BYTES, Delivery, ForeignEntry, read
from workers.redis_connection import Client
from workers.threads import Outage, WorkerThread

Popped = Delivery | ForeignEntry

# Between looks into empty queues: doubled each time, and cut short by a wake. Only what others enqueue waits so long.
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.005, 1.0
# Between pops that find something: what becomes free meanwhile is filled in one round trip, and claimed together.
_SPACING_SECONDS = 0.004
_ROOM_SECONDS = 0.2  # a full worker looks this often whether it shall end


class Slots:
    """How many deliveries this worker holds, and room for how many more; for any thread."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        return self._taken

    def wait_for_room(self, timeout_seconds: float) -> int:
        """Wait until there is room; return how much, 0 where there was none in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self.total, timeout_seconds)
            return self.total - self._taken

    def take(self, count: int) -> None:
        with self._changed:
            self._taken += count

    def give_back(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify()


class Popper:
    """Pops into `hand_over`, highest priority first, as many as there are slots; one round trip each time.

    An id stands in its queue or in that queue's intermediate list at every instant, so a worker
    that dies here loses nothing. `on_dry` is called where `burst` is set, nothing runs, and the
    queues are empty (or suspended).
    """

    def __init__(
        self,
        client: Client,
        queues: Sequence[str],
        slots: Slots,
        *,
        burst: bool,
        hand_over: Callable[[list[Popped]], None],
        on_suspended: Callable[[bool], None],
        on_dry: Callable[[], None],
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self._queues = tuple(queues)
        self._keys = [queue_key(queue) for queue in self._queues]
        self._script = client.register_script(scripts.POP)
        self._slots = slots
        self._burst = burst
        self._hand_over = hand_over
        self._on_suspended = on_suspended
        self._on_dry = on_dry
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._outage = Outage("nothing is popped")
        self._thread = WorkerThread("rq-pop", self._run, on_broken)
        self._suspended = False

    def start(self) -> None:
        """Begin to pop."""
        self._thread.start()

    def stop(self) -> None:
        """Pop nothing more once `join` has returned."""
        self._stopping.set()
        self._woken.set()

    def join(self) -> None:
        """Wait for the pop that is under way, and until it is handed over."""
        self._thread.join()

    def wake(self) -> None:
        """Look again at once."""
        self._woken.set()

    def _run(self) -> None:
        pause = _SHORTEST_SECONDS
        while not self._stopping.is_set():
            room = self._slots.wait_for_room(_ROOM_SECONDS)
            if not room:
                continue
            idle = self._slots.taken == 0  # before the pop: what still runs may deliver something
            self._woken.clear()
            try:
                popped = self._pop(room)
            except RedisError as error:
                self._woken.wait(self._outage.failed(error))
                continue
            self._outage.succeeded()
            if popped:
                self._slots.take(len(popped))
                self._hand_over(popped)
                pause = _SHORTEST_SECONDS
                self._stopping.wait(_SPACING_SECONDS)
            elif self._burst and idle:
                self._on_dry()
                return
            else:
                self._woken.wait(pause)
                pause = min(pause * 2, _LONGEST_SECONDS)

    def _pop(self, most: int) -> list[Popped]:
        answer = self._script(keys=self._keys, args=[most, MOST_PAYLOAD_BYTES])
        if self._suspended != (answer is None):
            self._suspended = answer is None
            self._on_suspended(self._suspended)
        return [read(self._queues[place - 1], raw_id, payload) for place, raw_id, payload in answer or ()]
