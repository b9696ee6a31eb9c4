#!/usr/bin/env bash
# Saves the database and all objects in one archive, while the service runs. ops/restore.sh puts it back.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

here="$PWD"
enter
exec "$venv/bin/python" -m scripts.backup --from-folder "$here" ${PG_BIN:+--pg-bin "$PG_BIN"} "$@"
