"""`python -m scripts.verification.mode_line`: one line with what the API says of the mode, after a switch."""

import sys

from generation_service.settings import load_settings
from scripts.tool import DONE, say, show
from scripts.verification.findings import Missed
from scripts.verification.service import Service

_PATIENCE_SECONDS = 3.0


def main() -> int:
    """Ask /health; an API that does not answer is said and is no failure: the mode is a row in the database."""
    service = Service.of(load_settings(), patience_seconds=_PATIENCE_SECONDS)
    try:
        said = service.health().get("worker_system") or {}
        told = {"enabled": str(said.get("enabled")).lower(), "type": said.get("type")}
        show(say("verification.mode_line", url=service.url, **told))
    except Missed as missed:
        why = say(f"verification.note.{missed.note}", **missed.params)
        show(say("verification.mode_line_missed", url=service.url, why=why))
    finally:
        service.close()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
