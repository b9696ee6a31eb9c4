"""The status page: which mode the system is in, since when, why, and what Redis is used for now."""

from collections.abc import Iterator

from sqlalchemy import Connection

from generation_service.jobs.routing import Mode, current_mode
from generation_service.switching import switches
from generation_service.switching.report_markdown import plain
from generation_service.texts import Language, text


def status_page(connection: Connection, language: Language) -> str:
    """The page as Markdown; it is made of rows, so any process can write it, at any time."""
    mode = current_mode(connection)
    last = switches.page(connection, limit=1, cursor=None).items
    lines = [*_lines(mode, language)]
    if mode is not None and last and last[0].epoch == mode.epoch:
        lines.append(f"- {_say('report', language, id=last[0].id)}")
    return "\n".join(lines) + "\n"


def _lines(mode: Mode | None, language: Language) -> Iterator[str]:
    name = "normal" if mode is not None and mode.target == "rq" else "rollback"
    yield from (f"## {_say(f'title.{name}', language)}", "")
    target = mode.target if mode is not None else "background_tasks"
    yield f"- {_say(f'worker_system.{target}', language)}"
    if mode is None:
        yield f"- {_say('nobody', language)}"
        return
    if mode.target == "rq" and not mode.rollout.whole:
        yield f"- {_say('rollout', language, percent=mode.rollout.percent)}"
    yield f"- {_say('rq.on' if mode.enabled else 'rq.off', language)}"
    used = "on" if mode.target == "rq" else "kept" if mode.enabled else "off"
    yield f"- {_say(f'redis.{used}', language)}"
    yield f"- {_say(f'since.{name}', language, since=mode.since.strftime('%Y-%m-%d %H:%M:%S UTC'))}"
    yield f"- {_say('reason', language, reason=plain(mode.reason), said_by=plain(mode.said_by), source=mode.source)}"


def _say(key: str, language: Language, **params: object) -> str:
    return text(f"switching.page.{key}", language, **params)
