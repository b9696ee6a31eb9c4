"""What an Accept header likes best (RFC 9110, 12.5.1)."""

from collections.abc import Iterator, Mapping, Sequence

from generation_service.errors import Refused


def best_of(accept: str | None, media_types: Mapping[str, str]) -> str:
    """The name of the media type that the header likes best; the first one where it likes several alike.

    Raises Refused `not_acceptable` (406) where it takes none of them.
    """
    ranges = list(_ranges(accept or "*/*")) or [("*/*", 1.0)]
    qualities = {name: _quality(one.partition(";")[0], ranges) for name, one in media_types.items()}
    name, quality = max(qualities.items(), key=lambda pair: pair[1])  # of equals the first
    if quality <= 0:
        raise Refused("not_acceptable", 406, params={"formats": ", ".join(media_types)})
    return name


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept[:2000].split(","):
        media_range, *parameters = [part.strip().lower() for part in item.split(";")]
        weights = [part[2:] for part in parameters if part.startswith("q=")]
        try:
            quality = float(weights[0]) if weights else 1.0
        except ValueError:
            continue
        if media_range:
            yield media_range, quality


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """What the most specific range that fits says of `media_type`; 0 where none fits."""
    for wanted in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        said = [quality for media_range, quality in ranges if media_range == wanted]
        if said:
            return max(said)
    return 0.0
