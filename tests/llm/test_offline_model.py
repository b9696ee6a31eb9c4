"""The drafter that is no language model: deterministic, word for word, honest about what it lacks."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from generation_service.llm import Form, Material, Message, ModelCall, Source, SourceKind, Task
from generation_service.llm.offline import OfflineModel
from generation_service.llm.offline.model import _DRAFTERS
from generation_service.llm.offline.people import name_in_heading, people
from generation_service.llm.offline.words import place_of, time_of
from generation_service.llm.sentences import sentences
from generation_service.texts import Language

STORY = (
    "밤에 민호는 서점에서 낡은 지도를 발견한다. 민호는 지도를 숨기지만 유진에게 들키고 만다. "
    "유진은 지도를 빼앗으려고 위협한다. 새벽에 두 사람은 부두에서 다시 만난다. 민호는 지도를 바다에 던진다."
)


def source(number: int, text: str, kind: SourceKind = "synopsis", heading: str | None = None) -> Source:
    return Source(number=number, kind=kind, label=f"문서{number}.md", text=text, heading=heading)


def call_for(
    task: Task,
    sources: Sequence[Source],
    *,
    form: Form = "script",
    language: Language = "ko",
    signals: Sequence[dict[str, Any]] = (),
) -> ModelCall:
    return ModelCall(
        job_id="job",
        step="insight",
        attempt=1,
        task=task,
        language=language,
        messages=[Message(role="user", content="자료")],
        material=Material(form=form, title="지도", sources=sources, signals=signals, scenes=3),
        max_output_tokens=100,
    )


async def drafted(call: ModelCall) -> list[str]:
    async with OfflineModel().open(call) as reply:
        return [piece async for piece in reply]


async def signals_in(sources: Sequence[Source], form: Form = "script") -> list[dict[str, Any]]:
    pieces = await drafted(call_for("signals", sources, form=form))
    found: list[dict[str, Any]] = json.loads("".join(pieces))["signals"]
    return found


async def script_of(sources: Sequence[Source]) -> str:
    signals = await signals_in(sources)
    return "".join(await drafted(call_for("insight", sources, signals=signals)))


async def test_every_beat_is_quoted_word_for_word_with_its_source() -> None:
    script = await script_of([source(1, STORY)])

    for sentence in sentences(STORY):
        assert f"{sentence} [문서1.md]" in script


async def test_the_text_comes_sentence_by_sentence() -> None:
    signals = await signals_in([source(1, STORY)])

    assert len(await drafted(call_for("insight", [source(1, STORY)], signals=signals))) >= 8


async def test_another_document_gives_another_script() -> None:
    other = STORY.replace("지도", "편지").replace("부두", "극장")

    assert await script_of([source(1, STORY)]) != await script_of([source(1, other)])


async def test_characters_come_from_headings_and_never_from_sentences() -> None:
    # Given a document of characters, and a story that mentions a chairman
    cast = source(1, "지도를 훔친 사람이다. 말버릇: “그건 내 지도야.”", "characters", "등장인물 > 민호 (30세)")
    story = source(2, STORY + " 회장(60)은 웃는다.")

    found = await signals_in([cast, story])

    assert [one["name"] for one in found if one["kind"] == "character"] == ["민호"]


async def test_a_character_says_only_what_the_documents_let_them_say() -> None:
    cast = source(1, "지도를 훔친 사람이다. 말버릇: “그건 내 지도야.”", "characters", "등장인물 > 민호 (30세)")

    script = await script_of([cast, source(2, STORY)])

    assert "**민호**\t그건 내 지도야. [문서1.md]" in script


async def test_a_scene_has_two_spoken_lines_at_most() -> None:
    # Given three characters with a line each, all of them in one sentence
    names = ("민호", "유진", "도현")
    cast = [
        source(n, f"서점에 오는 사람이다. “{name}, 나는 여기 있다.”", "characters", f"등장인물 > {name}")
        for n, name in enumerate(names, start=1)
    ]
    story = source(4, "민호와 유진과 도현은 서점에서 만난다. 바람이 불고 있다. 비가 내리고 있다.")

    script = await script_of([*cast, story])

    assert script.count("\t") == 2


async def test_notes_are_references_and_never_beats() -> None:
    notes = source(2, "지도는 1901년에 인쇄되었다. 지도의 종이는 물에 약하다.", "notes")

    script = await script_of([source(1, STORY), notes])

    scenes, references = script.split("## 참고 자료")
    assert "1901" not in scenes
    assert "지도는 1901년에 인쇄되었다. [문서2.md]" in references


async def test_too_little_material_is_said_instead_of_stretched() -> None:
    script = await script_of([source(1, "민호는 지도를 찾는다.")])

    assert script.startswith("> 자료 부족")


async def test_no_material_at_all_is_no_error() -> None:
    assert "자료 부족" in await script_of([])


async def test_risks_have_a_category_a_severity_and_a_source() -> None:
    text = "회사는 2025년에 32억 원의 적자를 냈다. 거래처와 소송을 하고 있다. 직원들은 점심을 함께 먹는다."

    found = await signals_in([source(1, text, "story")], form="report")

    told = [(one["category"], one["severity"], one["sources"]) for one in found]
    assert told == [("finance", "high", [1]), ("legal", "high", [1])]


async def test_a_report_orders_risks_by_severity() -> None:
    found = await signals_in([source(1, "수요가 감소했다. 회사는 부도 위기를 겪었다.", "story")], form="report")

    pieces = await drafted(call_for("insight", [], form="report", signals=found))

    written = "".join(pieces)
    assert written.index("### 심각") < written.index("### 보통")


async def test_a_cancelled_draft_stops_between_two_sentences() -> None:
    signals = await signals_in([source(1, STORY)])
    read: list[str] = []

    async def read_on() -> None:
        async with OfflineModel().open(call_for("insight", [source(1, STORY)], signals=signals)) as reply:
            async for piece in reply:
                read.append(piece)
                if len(read) == 2:
                    task.cancel()

    task = asyncio.create_task(read_on())
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(read) == 2


_DRAFT = """
import asyncio
from tests.llm.test_offline_model import STORY, script_of, source
cast = source(1, "지도를 훔친 사람이다. “그건 내 지도야.”", "characters", "등장인물 > 민호")
notes = source(3, "지도는 1901년에 인쇄되었다. 부두는 겨울에 언다.", "notes")
print(asyncio.run(script_of([cast, source(2, STORY), notes])))
"""


def test_the_same_material_gives_the_same_bytes_under_any_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _DRAFT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }

    assert len(outputs) == 1
    assert len(outputs.pop()) > 500


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("등장인물 > 윤서하 (34세, 헌책방 주인)", "윤서하"),
        ("인물 설정 - 한지수", "한지수"),
        ("2. 강도현", "강도현"),
        ("Characters > Mara Quinn (38)", "Mara Quinn"),
        ("등장인물", None),
        ("Characters", None),
        (None, None),
    ],
)
def test_a_name_is_read_from_a_heading(heading: str | None, name: str | None) -> None:
    assert name_in_heading(heading) == name


def test_characters_without_headings_are_read_from_how_their_lines_begin() -> None:
    text = "한지수: 서점을 지키는 사람이다.\n\n나이: 서른넷\n\n박도현 (27) - 영사기를 고친다."

    assert [person.name for person in people([source(1, text, "characters")])] == ["한지수", "박도현"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024. 3. 4. 서점이 문을 닫았다. 민호는 떠난다.", ["2024. 3. 4. 서점이 문을 닫았다.", "민호는 떠난다."]),
        ("# 제목 줄\n- 첫째 항목을 적는다.\n- 둘째 항목을 적는다.", ["첫째 항목을 적는다.", "둘째 항목을 적는다."]),
        ("S#12. 아리랑 극장 / 밤\n민호는 불을 끈다.", ["민호는 불을 끈다."]),
        ("표 | 머리\n민호는 표를 읽는다.", ["민호는 표를 읽는다."]),
        ("제목만 있는 글", ["제목만 있는 글"]),
    ],
)
def test_sentences_are_what_is_worth_quoting(text: str, found: list[str]) -> None:
    assert sentences(text) == found


def test_a_place_counts_where_something_happens_there() -> None:
    assert place_of("폐업한 미림극장의 지하실에서 주웠다고 말한다.", "ko") == "미림극장의 지하실"
    assert place_of("극장을 지키던 노인은 웃는다.", "ko") is None
    assert place_of("In the harbor tavern nobody speaks.", "en") == "harbor tavern"
    assert place_of("The claims paid for the school.", "en") is None


def test_a_time_of_day_is_found_and_lowness_is_no_noon() -> None:
    assert time_of("어느 밤, 손님이 온다.", "ko") == "밤"
    assert time_of("낮은 의자에 앉는다.", "ko") is None
    assert time_of("At dusk the lamp burns.", "en") == "EVENING"


def test_every_form_has_its_drafters() -> None:
    assert set(_DRAFTERS) == set(get_args(Form))
