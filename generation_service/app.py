"""What an ASGI server starts: the application around the runtime that the environment describes."""

from fastapi import FastAPI

from generation_service import bootstrap
from generation_service.api import open_files
from generation_service.api.application import create_app
from generation_service.settings import load_settings
from generation_service.telemetry import configure_logging
from generation_service.telemetry.collector import spare_pauses

__all__ = ["app_from_environment", "create_app"]


def app_from_environment() -> FastAPI:
    """The application as the environment describes it: what each API process of `serve` calls once.

    Raises ConfigurationError.
    """
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    open_files.allow(settings.max_streams)
    app = create_app(bootstrap.build(settings, "api"))
    spare_pauses()
    return app
