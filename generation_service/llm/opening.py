"""The language model that the settings ask for."""

from typing import assert_never

from generation_service.llm.model import LanguageModel
from generation_service.llm.offline import OfflineModel
from generation_service.settings import Settings


def open_model(settings: Settings) -> LanguageModel:
    """Make the model of LLM_PROVIDER; call it once a process, and `aclose` what it returns at the end."""
    match settings.llm_provider:
        case "offline":
            return OfflineModel()
        case "openai":
            # Imported only where it is used: an HTTP client and its certificates cost time and memory.
            from generation_service.llm.server import ServerModel  # noqa: PLC0415 - see above

            key = settings.llm_api_key
            return ServerModel(
                base_url=settings.llm_base_url or "",
                model=settings.llm_model or "",
                api_key=key.get_secret_value() if key else None,
                connect_timeout_seconds=settings.llm_connect_timeout_seconds,
                read_timeout_seconds=settings.llm_read_timeout_seconds,
                response_format=settings.llm_response_format,
            )
        case _:
            assert_never(settings.llm_provider)
