"""Settings for tests: what the test says and the defaults, never this machine's environment or `.env`."""

from typing import Any, Protocol

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from generation_service.settings import Settings


class GivenSettings(Settings):
    """Settings that come from their constructor alone."""

    @classmethod
    def settings_customise_sources(
        cls, _settings: type[BaseSettings], *, init_settings: PydanticBaseSettingsSource, **_others: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class SettingsFor(Protocol):
    """Makes Settings of what is given and of defaults that suit a test."""

    def __call__(self, **given: Any) -> Settings: ...
