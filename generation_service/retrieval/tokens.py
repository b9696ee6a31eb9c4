"""The tokens of a text: 2-grams where words are not separated by spaces, whole words elsewhere.

Every token is spelled with [가-힣a-z0-9] only, whatever the script, so that no database's own idea
of letters, case or accents can come between what was indexed and what is asked.
"""

import re
import unicodedata
from collections.abc import Iterator
from hashlib import sha256

TOKENIZER = "bigram-1"  # stored with each chunk; a change of the rules below is a new name
LONGEST_WORD = 32  # characters; what is longer is cut, in texts and in questions alike

_ACCENTS = re.compile("[\u0300-\u036f]")
# The stretches of a folded text that tokens are made of.
RUNS = re.compile(
    r"(?P<hangul>[가-힣]+)"
    r"|(?P<word>[a-z0-9]+)"
    r"|(?P<dense>[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"  # kana and Han
    r"|(?P<other>[^\W_a-z0-9가-힣\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)


def tokens(text: str) -> list[str]:
    """Return the tokens of `text` in order, repeats included; [] where it has no letters or digits."""
    return [token for run in RUNS.finditer(folded(text)) for token in run_tokens(run)]


def scope(project_id: str) -> str:
    """Return a project's own token, which no text has: it is longer than any word."""
    return f"p{sha256(project_id.encode()).hexdigest()}"


def folded(text: str) -> str:
    """Compatibility forms, case and accents away: full-width letters, ligatures and é read as their plain letters."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", plain).lower()


def run_tokens(run: re.Match[str]) -> Iterator[str]:
    """The tokens of one of the RUNS of a folded text."""
    found = run.group()
    match run.lastgroup:
        case "hangul":
            yield from _pairs(found)
        case "word":
            yield found[:LONGEST_WORD]
        case "dense":
            yield from (_spelled(pair) for pair in _pairs(found))
        case _:
            yield _spelled(found[:LONGEST_WORD])


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for start in range(len(run) - 1):
        yield run[start : start + 2]


def _spelled(token: str) -> str:
    return "".join(f"u{ord(character):x}" for character in token)
