"""When a failed attempt is tried again: exponential delays with full jitter, bounded."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The first delay is at most `base_seconds`; the bound doubles with each failure, up to `max_seconds`.

    What a provider asked for is no delay of ours, and has no bound here.
    """

    base_seconds: float
    max_seconds: float

    def delay_seconds(self, failures: int, retry_after: float | None = None) -> float:
        """The delay after the `failures`-th failure (from 1); never less than what the provider asked for.

        Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        bound = min(self.max_seconds, self.base_seconds * 2 ** min(failures - 1, 30))
        delay = random.uniform(0, bound)  # noqa: S311 - spreads load, keeps no secret
        return max(delay, retry_after or 0.0)
