"""Fountain (fountain.io), with forced marks, since Korean has no capitals to tell a cue from action."""

import re
from collections.abc import Iterator

from generation_service.pipeline.screenplay import Element, Screenplay
from generation_service.pipeline.shapes import Content

_FORCING = re.compile(r"^[.@!~>#=]")


def fountain(content: Content) -> bytes:
    """A script as Fountain in UTF-8: a title page that names the generator, then the scenes, then notes."""
    script = Screenplay.model_validate(content.stored()["script"])
    blocks = [_title_page(content)]
    for scene in script.scenes:
        blocks.append(f".{scene.heading}")
        blocks += [_element(element) for element in scene.elements]
    blocks += [_note(element.text) for element in script.notes]
    return ("\n\n".join(blocks) + "\n").encode()


def _title_page(content: Content) -> str:
    return "\n".join(_title_lines(content))


def _title_lines(content: Content) -> Iterator[str]:
    yield f"Title: {content.title}"
    yield f"Credit: generator: {content.generator}"
    note = next((line[2:] for line in content.text.splitlines() if line.startswith("> ")), "")
    if note:
        yield f"Notes: {note}"


def _element(element: Element) -> str:
    match element.kind:
        case "dialogue" | "parenthetical":
            cue = f"@{element.character}" + (f" ({element.extension})" if element.extension else "")
            words = f"({element.text})" if element.kind == "parenthetical" else element.text
            return f"{cue}\n{words}"
        case "transition":
            return f"> {element.text}"
        case "note":
            return _note(element.text)
        case "action":
            return f"!{element.text}" if _FORCING.match(element.text) else element.text


def _note(text: str) -> str:
    """A note may not hold its own brackets."""
    return f"[[{text.replace('[[', '[').replace(']]', ']')}]]"
