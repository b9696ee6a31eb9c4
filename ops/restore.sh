#!/usr/bin/env bash
# Puts an archive of ops/backup.sh back into an empty database and an empty object store; verifies it first.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

here="$PWD"
enter
exec "$venv/bin/python" -m scripts.restore --from-folder "$here" ${PG_BIN:+--pg-bin "$PG_BIN"} "$@"
