"""File names as labels: shown and cited, never opened."""

import re
import unicodedata

LONGEST_NAME = 255
# Controls, direction overrides, halves of surrogate pairs.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def file_label(name: str | None) -> str:
    """A name that can be stored and shown: composed (macOS sends parted Hangul), without controls, not too long."""
    shown = _UNSHOWABLE.sub("", unicodedata.normalize("NFC", name or "")).strip()
    return shown[:LONGEST_NAME] or "document"
