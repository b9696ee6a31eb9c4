"""The port of embedding models."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from generation_service.jobs.model import Usage

Vector: TypeAlias = Sequence[float]

Spend = Callable[[Usage], None]
"""Records what a call to the embedding model cost."""


class Embedder(Protocol):
    """Turns texts into vectors of one dimension."""

    @property
    def model(self) -> str:
        """The model that is configured."""

    @property
    def at_once(self) -> int:
        """As many texts as it takes without one of them waiting for the others."""

    async def embed(
        self, texts: Sequence[str], *, spend: Spend, model: str | None = None, urgent: bool = False
    ) -> list[Vector]:
        """A vector for each text, in their order; `model` is another one than the configured.

        `urgent`: somebody waits for the answer, so that it need not queue behind what is being indexed. Raises
        TransientError, with the seconds to wait where the server named them, and PermanentError; each call that
        was answered has been told to `spend` by then.
        """

    async def aclose(self) -> None:
        """Give back connections; the embedder may not be called afterwards."""
