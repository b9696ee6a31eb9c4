"""The contracts of import-linter speak of everything there is."""

import re
import tomllib
from pathlib import Path

LINTER = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
LAYERS = next(one["layers"] for one in LINTER["contracts"] if one["id"] == "layers")
NAMED = [name.strip(" ()") for layer in LAYERS for name in re.split(r"[|:]", layer)]


def parts_of(package: str) -> set[str]:
    """The modules and packages directly in a package."""
    return {
        f"{package}.{path.stem}"
        for path in Path(package).iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }


def test_every_package_has_its_layer_or_each_of_its_parts_has() -> None:
    packages = {path.parent.name for path in Path().glob("*/__init__.py")} - {"tests"}
    parts = set().union(*(parts_of(package) for package in packages - set(NAMED)))

    assert packages == set(LINTER["root_packages"])
    assert sorted(parts - set(NAMED)) == []


def test_no_part_has_two_layers() -> None:
    assert len(NAMED) == len(set(NAMED))
