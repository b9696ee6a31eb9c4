#!/usr/bin/env bash
# Checks a service after a rollback, a line a check with its value and limit; non-zero when one fails.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

enter
exec "$venv/bin/python" -m scripts.verification "$@"
