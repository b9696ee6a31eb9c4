"""The drafter that works without a language model: it chooses, orders and quotes, and writes nothing of its own."""

from generation_service.llm.offline.model import GENERATOR, OfflineModel

__all__ = ["GENERATOR", "OfflineModel"]
