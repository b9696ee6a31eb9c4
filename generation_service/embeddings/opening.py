"""The embedding model that the settings ask for."""

from generation_service.embeddings.model import Embedder
from generation_service.settings import Settings


def open_embedder(settings: Settings) -> Embedder | None:
    """Make the client of EMBEDDING_BASE_URL, None where it is unset; call it once a process, `aclose` it at the end."""
    if not (settings.embedding_base_url and settings.embedding_model):
        return None
    from generation_service.embeddings.server import EmbeddingServer  # noqa: PLC0415 - costs an HTTP client

    key = settings.embedding_api_key
    return EmbeddingServer(
        settings.embedding_base_url,
        settings.embedding_model,
        api_key=key.get_secret_value() if key else None,
        batch=settings.embedding_batch,
        concurrency=settings.embedding_concurrency,
        timeout_seconds=settings.embedding_timeout_seconds,
    )
