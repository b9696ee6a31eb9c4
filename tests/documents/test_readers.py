"""Readers: what of slides, sheets, web pages and Hangul documents becomes text, under which heading, on which page."""

import datetime as dt
import io
from collections.abc import Callable
from pathlib import Path

import pptx
import pytest

from generation_service.documents.parsing import Parsed, Parser
from generation_service.documents.splitting import split
from generation_service.settings import Settings
from tests.documents import files


@pytest.fixture
def parser(settings_for: Callable[..., Settings]) -> Parser:
    return Parser.of(settings_for())


async def blocks(
    parser: Parser, folder: Path, content: bytes, file_type: str
) -> list[tuple[int | None, str | None, str]]:
    """(page, heading, text) of each block."""
    parsed: Parsed = await parser.parse(files.written(folder, content), file_type)
    return [(block.page, block.heading, block.text) for block in parsed.blocks]


async def test_slides_are_read_with_their_titles_tables_and_notes(parser: Parser, tmp_path: Path) -> None:
    deck = files.slides([("기획의도", "헌책방 이야기.", ""), ("인물", "김도현", "발표자의 말.")], cells=files.CELLS)

    assert await blocks(parser, tmp_path, deck, "pptx") == [
        (1, "기획의도", "헌책방 이야기."),
        (2, "인물", "김도현\n\n장소 | 시간\n헌책방 | 낮\n\n발표자의 말."),
    ]


async def test_shapes_in_a_group_are_read_and_a_lone_title_is_kept(parser: Parser, tmp_path: Path) -> None:
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "막간"
    group = deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_group_shape()
    group.shapes.add_group_shape().shapes.add_textbox(0, 0, 9, 9).text_frame.text = "묶인 글"
    saved = io.BytesIO()
    deck.save(saved)

    assert await blocks(parser, tmp_path, saved.getvalue(), "pptx") == [(1, None, "막간"), (2, None, "묶인 글")]


async def test_sheets_are_read_by_rows_under_their_names(parser: Parser, tmp_path: Path) -> None:
    book = files.workbook(
        {
            "인물": [["이름", "나이"], ["도현", 32, ""], [], ["", "키", 175.5]],
            "빈 장": [],
            "일정": [["촬영", dt.date(2026, 3, 4), dt.datetime(2026, 3, 4, 9, 30)], [True, 0.5]],  # noqa: DTZ001 - sheets know no zone
        }
    )

    assert await blocks(parser, tmp_path, book, "xlsx") == [
        (1, "인물", "이름 | 나이\n도현 | 32\n\n| 키 | 175.5"),
        (3, "일정", "촬영 | 2026-03-04 | 2026-03-04 09:30\nTrue | 0.5"),
    ]


PAGE = """<!doctype html><html><head><title>책방</title><style>p {color: red}</style></head><body>
<script>alert("숨은 글")</script>
<h1>등장 <em>인물</em></h1><p>앞의
  글.<br>다음 줄.</p>
<h2>도현</h2><div>헌책방의 <b>주인</b>.<ul><li>하나</li><li>둘</ul></div>
<table><tr><th>장소<th>시간</tr><tr><td><p>헌책방</p></td><td>낮</td></tr></table>
<h2>지수</h2><pre>한 줄
  두 줄</pre><noscript>숨은 글</noscript></body></html>"""


async def test_a_web_page_is_read_as_it_is_seen(parser: Parser, tmp_path: Path) -> None:
    assert await blocks(parser, tmp_path, PAGE.encode(), "html") == [
        (None, "등장 인물", "앞의 글.\n다음 줄."),
        (None, "등장 인물 > 도현", "헌책방의 주인.\n\n하나\n\n둘\n\n장소 | 시간\n헌책방 | 낮"),
        (None, "등장 인물 > 지수", "한 줄\n  두 줄"),
    ]


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""),
        ("utf-8-sig", "<meta charset=euc-kr>"),
        ("cp949", '<meta http-equiv="Content-Type" content="text/html; charset=euc-kr">'),
        ("cp949", ""),
        ("cp949", "<meta charset=utf-8>"),
        ("utf-16", ""),
        ("shift_jis", "<meta charset='Shift_JIS'>"),
        ("utf-8", "<meta charset=utf-16>"),
        ("utf-8", "<meta charset=utf-16le>"),
        ("utf-8", "<meta charset=utf_16_be>"),
        ("utf-8", "<meta charset=cp037>"),
        ("utf-8", "<meta charset=utf-7>"),
        ("cp949", "<meta charset=x-unheard-of>"),
    ],
)
async def test_a_web_page_is_read_in_its_encoding(parser: Parser, tmp_path: Path, encoding: str, head: str) -> None:
    text = "時間です" if encoding == "shift_jis" else "똠방각하"
    page = f"<html><head>{head}</head><p>{text}</p></html>".encode(encoding)

    assert [block[2] for block in await blocks(parser, tmp_path, page, "html")] == [text]


@pytest.mark.parametrize(
    ("line", "heading"),
    [("## 도현 ##", "도현"), ("#\t도현", "도현"), ("   ### 도현", "도현"), ("# # 도현", "# 도현")],
)
async def test_a_heading_of_markdown_is_read_without_what_closes_it(
    parser: Parser, tmp_path: Path, line: str, heading: str
) -> None:
    assert await blocks(parser, tmp_path, f"{line}\n책방의 주인.".encode(), "md") == [(None, heading, "책방의 주인.")]


async def test_a_heading_of_nothing_is_text(parser: Parser, tmp_path: Path) -> None:
    assert await blocks(parser, tmp_path, "## ##\n글".encode(), "md") == [(None, None, "## ##\n글")]


async def test_a_heading_of_signs_takes_no_square_of_its_length(
    settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    hasty = Parser.of(settings_for(parse_cpu_seconds=3))

    found = await blocks(hasty, tmp_path, b"# " * 60_001 + b"x", "md")

    assert "".join(text for _, _, text in found).endswith("x")


async def test_an_hwpx_keeps_its_headings_tables_and_notes(parser: Parser, tmp_path: Path) -> None:
    document = files.hwpx_of(
        "# 등장인물\n\n## 김도현\n\n헌책방의 주인[^1]이다.\n\n| 장소 | 시간 |\n|---|---|\n| 헌책방 | 낮 |\n\n"
        "## 한지수\n\n편지를 찾는 사람.\n\n[^1]: 십 년째."
    )

    assert await blocks(parser, tmp_path, document, "hwpx") == [
        (None, "등장인물 > 김도현", "헌책방의 주인\n십 년째.\n이다.\n\n장소 | 시간\n헌책방 | 낮"),
        (None, "등장인물 > 한지수", "편지를 찾는 사람."),
    ]


@pytest.mark.parametrize(("build", "file_type"), [(files.hwp, "hwp"), (files.hwpx, "hwpx")])
async def test_a_script_in_hangul_formats_is_read_whole_and_split_by_scene(
    parser: Parser, tmp_path: Path, build: Callable[[str], bytes], file_type: str
) -> None:
    parsed = await parser.parse(files.written(tmp_path, build(files.SCRIPT)), file_type)

    assert [line for block in parsed.blocks for line in block.text.split("\n") if line] == [
        line for line in files.SCRIPT.split("\n") if line
    ]
    assert [piece.heading for piece in split(parsed.blocks)] == [None, "S#1. 헌책방 / 낮", "S#2. 아리랑 극장 / 밤"]


async def test_a_pdf_of_some_pages_without_text_gives_those_that_have_some(parser: Parser, tmp_path: Path) -> None:
    assert await blocks(parser, tmp_path, files.pdf([["첫 쪽."], [], ["셋째 쪽."]]), "pdf") == [
        (1, None, "첫 쪽."),
        (3, None, "셋째 쪽."),
    ]


async def test_pieces_know_their_slide_and_its_title(parser: Parser, tmp_path: Path) -> None:
    deck = files.slides([("하나", "첫 문장이다. " * 200, ""), ("둘", "짧다.", "")])
    parsed = await parser.parse(files.written(tmp_path, deck), "pptx")
    places = [(piece.page, piece.heading) for piece in split(parsed.blocks)]

    assert parsed.pages == 2
    assert places == [(1, "하나")] * (len(places) - 1) + [(2, "둘")]
    assert len(places) > 2
