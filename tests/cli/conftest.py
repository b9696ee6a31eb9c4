"""What tests of the command line may ask for."""

from collections.abc import Iterator

import pytest

from tests.cli.commands import commands
from tests.cli.scripted_api import ScriptedApi

__all__ = ["commands"]


@pytest.fixture
def service() -> Iterator[ScriptedApi]:
    """An API that answers as the test scripts it."""
    with ScriptedApi() as scripted:
        yield scripted
