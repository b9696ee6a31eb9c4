"""Parsing: what is read of good files, what bad ones end in, and that no child is left behind."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from generation_service.documents.parsing import Parser
from generation_service.errors import PermanentError, TransientError
from generation_service.reader.limits import Limits
from tests.documents import files

MIB = 1024 * 1024
LIMITS = Limits(memory_bytes=1024 * MIB, cpu_seconds=20, max_characters=100_000, max_pages=50)


def parser(*, wall_seconds: float = 30.0, command: str | None = None, limits: Limits = LIMITS) -> Parser:
    """A parser; `command` is a Python program that stands in for the reader."""
    given = {} if command is None else {"command": (sys.executable, "-I", "-c", command)}
    return Parser(limits=limits, wall_seconds=wall_seconds, at_once=2, **given)


async def verdict(tmp_path: Path, content: bytes, file_type: str, **given: object) -> str:
    """The code that a file ends in."""
    with pytest.raises(PermanentError) as caught:
        await parser(**given).parse(files.written(tmp_path, content), file_type)
    return caught.value.code


def living(path: Path) -> bool:
    """Whether the process that wrote its id to `path` is alive (and not merely waiting to be reaped)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{path.read_text()}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def written(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


async def appears(path: Path) -> None:
    async with asyncio.timeout(10):
        while not written(path):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)


async def vanishes(path: Path) -> None:
    async with asyncio.timeout(10):
        while living(path):  # noqa: ASYNC110 - another process is killed
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp949"])
async def test_korean_text_is_read_in_the_encodings_it_comes_in(tmp_path: Path, encoding: str) -> None:
    parsed = await parser().parse(files.written(tmp_path, files.SCRIPT.encode(encoding)), "txt")

    assert parsed.blocks[0].text == files.SCRIPT.strip()
    assert parsed.language == "ko"


async def test_two_syllables_in_cp949_are_not_guessed_at(tmp_path: Path) -> None:
    parsed = await parser().parse(files.written(tmp_path, "도현".encode("cp949")), "txt")

    assert parsed.blocks[0].text == "도현"


async def test_a_western_encoding_is_guessed(tmp_path: Path) -> None:
    text = "Der Buchhändler öffnet früh die Tür und grüßt die Gäste, während draußen schönes Wetter herrscht. " * 3
    parsed = await parser().parse(files.written(tmp_path, text.encode("latin-1")), "txt")

    assert "Buchhändler öffnet früh" in parsed.blocks[0].text
    assert parsed.language == "en"  # of the two that are told apart: written in Latin letters


async def test_a_pdf_gives_its_text_page_by_page(tmp_path: Path) -> None:
    content = files.pdf([["S#1. 헌책방 / 낮", "도현이 웃는다."], ["둘째 쪽."]])
    parsed = await parser().parse(files.written(tmp_path, content), "pdf")

    assert [(block.page, block.text) for block in parsed.blocks] == [
        (1, "S#1. 헌책방 / 낮\n도현이 웃는다."),
        (2, "둘째 쪽."),
    ]
    assert parsed.pages == 2


async def test_lines_that_the_page_has_wrapped_are_joined(tmp_path: Path) -> None:
    line = "골목 끝 헌책방에는 오래된 편지와 아무도 찾지 않는"
    parsed = await parser().parse(files.written(tmp_path, files.pdf([[line, "책들이 있다.", "비가 온다."]])), "pdf")

    assert parsed.blocks[0].text == f"{line} 책들이 있다.\n비가 온다."


async def test_a_docx_keeps_its_headings_and_its_table(tmp_path: Path) -> None:
    parsed = await parser().parse(files.written(tmp_path, files.word()), "docx")

    assert [(block.heading, block.text) for block in parsed.blocks] == [
        ("등장인물 > 김도현", "서른두 살. 헌책방의 주인.\n\n장소 | 시간\n헌책방 | 낮"),
        ("등장인물 > 한지수", "편지를 찾는 사람."),
    ]


async def test_markdown_headings_become_paths_and_fenced_ones_do_not(tmp_path: Path) -> None:
    text = "앞글\n# 제목\n본문\n## 인물\n### 도현\n서른둘\n```\n# 아님\n```\n## 끝\n"
    parsed = await parser().parse(files.written(tmp_path, text.encode()), "md")

    assert [(block.heading, block.text) for block in parsed.blocks] == [
        (None, "앞글"),
        ("제목", "본문"),
        ("제목 > 인물 > 도현", "서른둘\n```\n# 아님\n```"),
        ("제목 > 끝", "끝"),
    ]


async def test_what_no_database_can_store_is_left_out(tmp_path: Path) -> None:
    parsed = await parser().parse(files.written(tmp_path, "가\x00나\x07\u200b다".encode()), "txt")

    assert parsed.blocks[0].text == "가나다"


BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%s;" % (b"%d" % (n - 1) if n else b"") * 10) for n in range(10))
    + b"]><l>&a9;</l>"
)


@pytest.mark.parametrize(
    ("content", "file_type", "code"),
    [
        pytest.param(files.pdf([["비밀"]], encrypted=True), "pdf", "encrypted", id="a pdf with a password"),
        pytest.param(files.pdf([[], []]), "pdf", "needs_ocr", id="a scan"),
        pytest.param(files.pdf([["글"]] * 51), "pdf", "too_large", id="too many pages"),
        pytest.param(b"%PDF-1.7 and then nothing", "pdf", "unreadable", id="a broken pdf"),
        pytest.param(files.word()[:-200], "docx", "unreadable", id="a truncated docx"),
        pytest.param(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "docx", "encrypted", id="a docx with a password"),
        pytest.param(files.word_with(b"<a/>" + b" " * 20 * MIB), "docx", "archive_bomb", id="a zip bomb"),
        pytest.param(files.word_with(BILLION_LAUGHS), "docx", "unreadable", id="a billion laughs"),
        pytest.param(("글 " * 60_000).encode(), "txt", "too_large", id="too much text"),
        pytest.param(b"a" * 400_001, "txt", "too_large", id="a text too large to be opened"),
        pytest.param(b" \n\t ", "txt", "unreadable", id="nothing but blanks"),
        pytest.param("가".encode("utf-16")[:-1], "txt", "unreadable", id="half a letter"),
    ],
)
async def test_a_bad_file_ends_in_its_code(tmp_path: Path, content: bytes, file_type: str, code: str) -> None:
    assert await verdict(tmp_path, content, file_type) == code


async def test_a_pdf_that_unpacks_beyond_the_memory_is_too_complex(tmp_path: Path) -> None:
    bomb = files.pdf([["글"]], content=b"BT (a) Tj ET " + b" " * 300 * MIB)
    limits = Limits(memory_bytes=256 * MIB, cpu_seconds=20, max_characters=1000, max_pages=5)

    assert await verdict(tmp_path, bomb, "pdf", limits=limits) == "too_complex"


async def test_a_child_beyond_its_processor_time_is_too_complex(tmp_path: Path) -> None:
    spinning = (
        "import json, sys; from generation_service.reader.limits import Limits, confine\n"
        "confine(Limits(**json.loads(sys.argv[-1])))\nwhile True: pass"
    )
    limits = Limits(memory_bytes=512 * MIB, cpu_seconds=1, max_characters=1000, max_pages=5)

    assert await verdict(tmp_path, b"", "txt", command=spinning, limits=limits) == "too_complex"


async def test_a_child_that_worked_until_its_time_was_over_is_too_complex(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=512 * MIB, cpu_seconds=1, max_characters=1000, max_pages=5)

    assert (
        await verdict(tmp_path, b"", "txt", command="while True: pass", limits=limits, wall_seconds=8.0)
        == "too_complex"
    )


@pytest.mark.parametrize("ending", ["import os; os.abort()", "import ctypes; ctypes.string_at(0)"])
async def test_a_child_that_a_document_brings_down_found_it_too_complex(tmp_path: Path, ending: str) -> None:
    assert await verdict(tmp_path, b"", "txt", command=ending) == "too_complex"


async def test_a_panic_of_a_parser_is_the_documents_fault(tmp_path: Path) -> None:
    panicking = """
import sys
from generation_service.reader import __main__ as reader, plain
class PanicException(BaseException): pass
def panic(path, limits): raise PanicException
plain.read_text = panic
sys.exit(reader.main(*sys.argv[1:]))
"""
    assert await verdict(tmp_path, b"text", "txt", command=panicking) == "unreadable"


# The child starts a child of its own, as a parser with a hole in it might; each leaves its id.
FAMILY = """
import os, sys, time
source = sys.argv[1]
name = "child" if os.fork() else "grandchild"
open(f"{source}.{name}", "w").write(str(os.getpid()))
while True: time.sleep(60)
"""


async def test_a_child_is_killed_with_its_descendants_at_its_time_limit(tmp_path: Path) -> None:
    path = files.written(tmp_path, b"")
    began = time.monotonic()

    with pytest.raises(TransientError, match="too busy"):  # for it has used no processor time at all
        await parser(wall_seconds=1.0, command=FAMILY).parse(path, "txt")

    assert time.monotonic() - began < 10
    await vanishes(tmp_path / "source.child")
    await vanishes(tmp_path / "source.grandchild")


async def test_cancelling_kills_the_child_and_its_descendants(tmp_path: Path) -> None:
    path = files.written(tmp_path, b"")
    reading = asyncio.create_task(parser(command=FAMILY).parse(path, "txt"))
    await appears(tmp_path / "source.child")
    await appears(tmp_path / "source.grandchild")

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    await vanishes(tmp_path / "source.child")
    await vanishes(tmp_path / "source.grandchild")


async def test_what_a_child_says_without_end_is_not_gathered(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=512 * MIB, cpu_seconds=20, max_characters=1000, max_pages=5)
    talking = "import sys\nwhile True: sys.stdout.write('a' * 65536)"

    assert await verdict(tmp_path, b"", "txt", command=talking, limits=limits) == "too_complex"


@pytest.mark.parametrize(
    ("ending", "code"),
    [("import os; os.kill(os.getpid(), 9)", "reader_killed"), ("import no_such_parser", "reader_failed")],
)
async def test_what_is_not_the_documents_fault_is_transient(tmp_path: Path, ending: str, code: str) -> None:
    with pytest.raises(TransientError) as caught:
        await parser(command=ending).parse(files.written(tmp_path, b"text"), "txt")

    assert caught.value.code == code


async def test_a_child_sees_no_environment_and_can_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_API_KEY", "a secret")
    nosy = """
import json, os, sys
from generation_service.reader.limits import Limits, confine
confine(Limits(**json.loads(sys.argv[-1])))
try:
    with open(sys.argv[1] + ".written", "w") as file: file.write("x")
    said = "written"
except OSError:
    said = "refused"
print(json.dumps({"blocks": [[said + os.environ.get("LLM_API_KEY", ""), None, None]], "pages": None, "pictures": []}))
"""
    parsed = await parser(command=nosy).parse(files.written(tmp_path, b""), "txt")

    assert parsed.blocks[0].text == "refused"


async def test_no_more_children_run_at_once_than_allowed(tmp_path: Path) -> None:
    counting = """
import json, os, sys, time
folder = os.path.dirname(sys.argv[1]); mine = os.path.join(folder, f"run-{os.getpid()}")
open(mine, "w").close()
seen = len([name for name in os.listdir(folder) if name.startswith("run-")])
time.sleep(0.05); os.remove(mine)
print(json.dumps({"blocks": [[str(seen), None, None]], "pages": None, "pictures": []}))
"""
    reader = parser(command=counting)
    path = files.written(tmp_path, b"")
    parsed = await asyncio.gather(*(reader.parse(path, "txt") for _ in range(8)))

    assert max(int(one.blocks[0].text) for one in parsed) <= 2


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    path = files.written(tmp_path, b"text")
    reader = parser()
    await reader.parse(path, "txt")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked

    for _ in range(5):
        await reader.parse(path, "txt")

    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 - as above
