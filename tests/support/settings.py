"""Settings for tests: what the test says and the defaults, never this machine's environment or `.env`."""

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from generation_service.settings import Settings


class GivenSettings(Settings):
    """Settings that come from their constructor alone."""

    @classmethod
    def settings_customise_sources(
        cls, _settings: type[BaseSettings], *, init_settings: PydanticBaseSettingsSource, **_others: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)
