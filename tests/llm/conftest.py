"""A provider on a loopback port, one for all tests of a run."""

from collections.abc import Iterator

import pytest

from tests.support.provider import Provider


@pytest.fixture(scope="session")
def _session_provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(_session_provider: Provider) -> Provider:
    """The mock provider, with nothing planted and nothing counted."""
    _session_provider.reset()
    return _session_provider
