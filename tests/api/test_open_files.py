"""The limit of open files: raised as far as streams need it and the system allows, said where that is too little."""

import json
import subprocess
import sys

import pytest

_ASKED = """
import json, logging, resource, sys
from generation_service.api import open_files
soft, hard, streams = map(int, sys.argv[1:])
logging.basicConfig(stream=sys.stderr)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
open_files.allow(streams)
print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "streams", "after", "warns"),
    [(256, 2000, 1000, 1500, False), (1800, 2000, 1000, 1800, False), (256, 1200, 1000, 1200, True)],
)
def test_the_limit_is_raised_as_far_as_it_may_be(
    soft: int, hard: int, streams: int, after: int, *, warns: bool
) -> None:
    command = [sys.executable, "-c", _ASKED, str(soft), str(hard), str(streams)]
    asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert json.loads(asked.stdout) == [after, hard]
    assert ("MAX_STREAMS=1000" in asked.stderr) is warns
