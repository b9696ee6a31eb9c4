"""Finding a Python: what `ops/lib/setup.sh` says where there is none that will do."""

import subprocess
from pathlib import Path

import pytest

SETUP = Path("ops/lib/setup.sh").resolve()
OLD = '#!/bin/sh\ncase "$2" in *version_info\\[:2\\]*) echo 3.9 ;; *) exit 1 ;; esac\n'
BARE = '#!/bin/sh\ncase "$2" in *version_info\\[:2\\]*) echo 3.12 ;; *ensurepip*) exit 1 ;; esac\n'
GOOD = '#!/bin/sh\ncase "$2" in *version_info\\[:2\\]*) echo 3.12 ;; esac\n'
STAND_IN = "#!/bin/sh\nexit 127\n"


def find_python(folder: Path, lang: str = "C", **pythons: str) -> "subprocess.CompletedProcess[str]":
    """Run `find_python` where PATH has just these Pythons."""
    for name, script in pythons.items():
        program = folder / name.replace("_", ".")
        program.write_text(script)
        program.chmod(0o755)
    return subprocess.run(
        ["/bin/bash", "-c", '. "$0" && find_python', SETUP],
        env={"PATH": f"{folder}:/nowhere", "HOME": str(folder), "LANG": lang},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for PATH that has what the script itself calls, and no Python."""
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    return tmp_path


def test_the_first_python_that_will_do_is_taken_whatever_else_has_its_name(folder: Path) -> None:
    found = find_python(folder, python3_13=STAND_IN, python3_12=GOOD, python3=OLD)

    assert (found.returncode, found.stdout) == (0, "python3.12\n")


def test_the_python_that_the_tests_are_run_on_goes_before_later_ones(folder: Path) -> None:
    found = find_python(folder, python3_13=GOOD, python3_12=GOOD, python3_11=GOOD, python3=GOOD)

    assert (found.returncode, found.stdout) == (0, "python3.11\n")


@pytest.mark.parametrize(
    ("pythons", "lang", "said"),
    [
        ({}, "C", "No Python was found"),
        ({}, "ko_KR.UTF-8", "Python을 찾지 못했습니다"),
        ({"python3": OLD}, "en_US.UTF-8", "Python 3.9 is too old"),
        ({"python3": OLD}, "ko_KR.UTF-8", "너무 오래되었습니다"),
        ({"python3": OLD, "python3_12": BARE}, "C", "python3.12-venv"),
    ],
)
def test_without_a_python_that_will_do_one_line_says_what_to_do(
    folder: Path, pythons: dict[str, str], lang: str, said: str
) -> None:
    found = find_python(folder, lang, **pythons)

    assert found.returncode == 1
    assert found.stdout == ""
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1
