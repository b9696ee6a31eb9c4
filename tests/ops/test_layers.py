"""The contracts of import-linter speak of everything there is."""

import re
import tomllib
from pathlib import Path

CONTRACTS = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = next(one["layers"] for one in CONTRACTS if one["id"] == "layers")
NAMED = [name.strip(" ()") for layer in LAYERS for name in re.split(r"[|:]", layer)]


def test_every_part_of_the_service_has_its_layer() -> None:
    parts = {
        f"generation_service.{path.stem}"
        for path in Path("generation_service").iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }

    assert sorted(parts - set(NAMED)) == []


def test_no_part_has_two_layers() -> None:
    assert len(NAMED) == len(set(NAMED))
