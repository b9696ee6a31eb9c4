"""Results as files, read again by something else where there is something else."""

import json
import re
import zipfile
from io import BytesIO
from typing import Any

import pytest
from docx import Document

from generation_service.errors import Refused
from generation_service.pipeline import screenplay
from generation_service.pipeline.rendering import render

SCRIPT = """## S#1. 헌책방 / 밤

서하가 등을 켠다.

**서하** 어서 오세요.

**도현** (E) 계세요?

@로 시작하는 지문이다.

페이드 아웃

## 참고 자료

- 헌책의 값은 연필로 적는다. [취재노트.pdf, 1]
"""
TEXT = f"# 밤 (발췌 초안)\n\n> 발췌 초안입니다. 생성기: extractive-v1\n\n{SCRIPT}"


def script_content() -> dict[str, Any]:
    read = screenplay.read(SCRIPT, {"서하", "도현"})
    return {
        "recipe": "script",
        "title": "밤",
        "language": "ko",
        "generator": "extractive-v1",
        "is_language_model": False,
        "text": TEXT,
        "script": read.model_dump(mode="json", exclude_none=True),
    }


def report_content() -> dict[str, Any]:
    text = "# 한빛 리스크 보고서\n\n> 생성기: mock\n\n## 기업 개요\n\n- 부채 비율: 310%\n\n### 높음\n\n적자가 났다.\n"
    content = {
        **script_content(),
        "recipe": "risk_report",
        "generator": "mock",
        "text": text,
        "report": {"sections": []},
    }
    del content["script"]
    return content


def written(name: str, content: dict[str, Any] | None = None) -> str:
    return render(content or script_content(), name).body.decode()


def paragraphs_of(content: dict[str, Any]) -> list[str]:
    document = Document(BytesIO(render(content, "docx").body))
    return [paragraph.text for paragraph in document.paragraphs]


def test_markdown_is_the_text_as_it_was_streamed() -> None:
    assert written("markdown") == TEXT


def test_json_holds_text_parts_and_generator() -> None:
    read = json.loads(written("json"))

    assert (read["text"], read["generator"], read["is_language_model"]) == (TEXT, "extractive-v1", False)
    assert read["script"]["scenes"][0]["elements"][1]["character"] == "서하"


def test_fountain_forces_what_korean_has_no_capitals_for() -> None:
    blocks = written("fountain").split("\n\n")

    assert blocks[0].startswith("Title: 밤\nCredit: generator: extractive-v1\nNotes: 발췌 초안입니다.")
    assert blocks[1:6] == [
        ".S#1. 헌책방 / 밤",
        "서하가 등을 켠다.",
        "@서하\n어서 오세요.",
        "@도현 (E)\n계세요?",
        "!@로 시작하는 지문이다.",
    ]
    assert blocks[6] == "> 페이드 아웃"
    assert blocks[-1] == "[[헌책의 값은 연필로 적는다. [취재노트.pdf, 1]]]\n"


def test_a_word_document_says_the_same_and_names_a_korean_font() -> None:
    body = render(script_content(), "docx").body
    paragraphs = paragraphs_of(script_content())

    assert paragraphs[:2] == ["밤", "발췌 초안입니다. 생성기: extractive-v1"]
    assert "S#1. 헌책방 / 밤" in paragraphs
    assert "서하\t어서 오세요." in paragraphs
    assert "도현 (E)\t계세요?" in paragraphs
    assert "헌책의 값은 연필로 적는다. [취재노트.pdf, 1]" in paragraphs
    styles = zipfile.ZipFile(BytesIO(body)).read("word/styles.xml").decode()
    assert 'w:eastAsia="Malgun Gothic"' in styles
    assert Document(BytesIO(body)).core_properties.author == "extractive-v1"


def test_a_report_becomes_headings_and_lines() -> None:
    paragraphs = paragraphs_of(report_content())

    assert paragraphs == ["밤", "생성기: mock", "기업 개요", "부채 비율: 310%", "높음", "적자가 났다."]


@pytest.mark.parametrize(("content", "name"), [(report_content(), "fountain"), (script_content(), "hwpx")])
def test_a_format_that_a_recipe_lacks_is_refused_and_the_others_are_named(content: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as raised:
        render(content, name)

    assert (raised.value.code, raised.value.status) == ("not_acceptable", 406)
    assert "markdown" in str(raised.value.params["formats"])


@pytest.mark.parametrize(
    ("name", "media_type", "suffix"),
    [
        ("markdown", "text/markdown", ".md"),
        ("fountain", "text/x-fountain", ".fountain"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
        ("json", "application/json", ".json"),
    ],
)
def test_each_format_has_its_media_type(name: str, media_type: str, suffix: str) -> None:
    rendered = render(script_content(), name)

    assert re.sub(";.*", "", rendered.media_type) == media_type
    assert rendered.suffix == suffix
