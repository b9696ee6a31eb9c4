"""The samples that ship."""

import os
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

from generation_service import samples
from generation_service.pipeline import recipes
from generation_service.texts import Language


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_sample_is_a_valid_request_with_a_document_of_each_type(language: Language) -> None:
    sample = samples.load(language)

    assert recipes.find("script").validate(sample.request).project_id == sample.project_id
    assert {document.path.suffix for document in sample.documents} == {".md", ".docx", ".pdf", ".txt"}
    assert all(document.path.is_file() for document in sample.documents)


def test_the_korean_pdf_gives_its_text_to_other_readers() -> None:
    document = next(one for one in samples.load("ko").documents if one.path.suffix == ".pdf")

    with pypdfium2.PdfDocument(document.path) as pdf:
        page = pdf[1]
        text = page.get_textpage().get_text_range()

    assert "미림극장처럼 오래된 단관 극장은 필름을 지하실에 보관했다." in text


_GENERATE = """
import asyncio, sys
from generation_service.database import Database
from generation_service.database.schema import migrate
from tests.pipeline.harness import Pipeline, add_sample, job_for
database = Database(sys.argv[1])
migrate(database)
job = job_for(add_sample(database, "ko").request)
sys.stdout.buffer.write(asyncio.run(Pipeline(database).run(job))["insight"]["text"].encode())
database.close()
"""


def test_the_samples_script_is_the_same_to_the_byte_under_any_hash_seed(tmp_path: Path) -> None:
    written = {
        subprocess.run(
            [sys.executable, "-c", _GENERATE, f"sqlite:///{tmp_path / seed}.db"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    }

    assert len(written) == 1
    assert "발췌 초안" in written.pop().decode()
