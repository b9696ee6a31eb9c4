"""DOCX: a script set as scripts are, a report as headings and lines."""

from io import BytesIO
from typing import Any

from generation_service.pipeline.screenplay import Element, Screenplay
from generation_service.pipeline.shapes import Content
from generation_service.texts import text

_LATIN_FONT = "Times New Roman"
_KOREAN_FONT = "Malgun Gothic"
_SPEECH_INDENT_CM = 2.5


def docx(content: Content) -> bytes:
    """A Word document in memory. Imports python-docx and works for tenths of a second: call it on a thread."""
    from docx import Document  # noqa: PLC0415 - only who asks for DOCX pays for the import

    document = Document()
    _set_fonts(document)
    document.core_properties.title = content.title
    document.core_properties.author = content.generator
    document.add_heading(content.title, level=0)
    for line in content.text.splitlines():
        if line.startswith("> "):  # what generated it; only the first: later ones are part of the text
            document.add_paragraph(line[2:], style="Intense Quote")
            break
    stored = content.stored()
    if "script" in stored:
        _add_script(document, Screenplay.model_validate(stored["script"]), content)
    else:
        _add_text(document, content.text)
    written = BytesIO()
    document.save(written)
    return written.getvalue()


def _set_fonts(document: Any) -> None:
    """Name a font for Korean too: Word falls back to what it likes where `w:eastAsia` is not said."""
    from docx.oxml.ns import qn  # noqa: PLC0415 - as above

    for style in document.styles:
        if getattr(style, "font", None) is not None:
            style.font.name = _LATIN_FONT
            fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
            for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
                fonts.attrib.pop(qn(f"w:{theme}"), None)
            fonts.set(qn("w:eastAsia"), _KOREAN_FONT)


def _add_script(document: Any, script: Screenplay, content: Content) -> None:
    if script.characters:
        document.add_heading(text("pipeline.characters", content.language), level=1)
        document.add_paragraph(", ".join(script.characters))
    for scene in script.scenes:
        document.add_heading(scene.heading, level=2)
        for element in scene.elements:
            _add_element(document, element)
    for element in script.notes:
        document.add_paragraph(element.text, style="List Bullet")


def _add_element(document: Any, element: Element) -> None:
    from docx.shared import Cm  # noqa: PLC0415 - as above

    paragraph = document.add_paragraph()
    if element.character:
        paragraph.paragraph_format.left_indent = Cm(_SPEECH_INDENT_CM)
        paragraph.paragraph_format.first_line_indent = -Cm(_SPEECH_INDENT_CM)
        paragraph.add_run(element.character).bold = True
        paragraph.add_run(f" ({element.extension})" if element.extension else "")
        words = f"({element.text})" if element.kind == "parenthetical" else element.text
        paragraph.add_run(f"\t{words}")
    else:
        paragraph.add_run(element.text).italic = element.kind == "note"


def _add_text(document: Any, written: str) -> None:
    for line in written.splitlines()[1:]:
        bare = line.strip()
        if bare.startswith("#"):
            document.add_heading(bare.lstrip("# "), level=min(4, len(bare) - len(bare.lstrip("#"))))
        elif bare.startswith("- "):
            document.add_paragraph(bare[2:], style="List Bullet")
        elif bare and not bare.startswith("> "):
            document.add_paragraph(bare)
