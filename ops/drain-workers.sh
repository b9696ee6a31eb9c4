#!/usr/bin/env bash
# Ends RQ worker processes, warm first: by pid files, their own rows and RQ's registry; never by a name.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

enter
exec "$venv/bin/python" -m scripts.drain_workers "$@"
