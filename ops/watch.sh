#!/usr/bin/env bash
# A dashboard of the rollback: mode, jobs, memory, RQ workers, queues, ledger, triggers, again and again.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

enter
exec "$venv/bin/python" -m scripts.watch "$@"
