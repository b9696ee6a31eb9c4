"""What an ASGI server starts: the application around the runtime that the environment describes."""

import gc

from fastapi import FastAPI

from generation_service import bootstrap
from generation_service.api import open_files
from generation_service.api.application import create_app
from generation_service.settings import load_settings
from generation_service.telemetry import configure_logging

__all__ = ["app_from_environment", "create_app"]

_MIDDLE_COLLECTIONS_A_FULL_ONE = 100
"""Python's own is 10. That many come with about 700,000 objects more than were freed."""


def app_from_environment() -> FastAPI:
    """The application as the environment describes it: what each API process of `serve` calls once.

    Raises ConfigurationError.
    """
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    open_files.allow(settings.max_streams)
    app = create_app(bootstrap.build(settings, "api"))
    _spare_pauses()
    return app


def _spare_pauses() -> None:
    """Keep full collections short and rare: each stops every event stream (measured: 200 ms with 1,000 of them).

    A stream is 300 objects that stay, and opening many of them would bring one full collection after the other.
    """
    gc.collect()
    gc.freeze()  # what is there by now stays for good: no collection looks at it again
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_COLLECTIONS_A_FULL_ONE)
