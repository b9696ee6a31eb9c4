#!/usr/bin/env bash
# Checks everything: sets .venv up, then linters, types, layers, and the whole test suite against a real
# Redis and a real PostgreSQL that it starts itself. Arguments go to pytest. Non-zero on any failure.
set -euo pipefail

# shellcheck source=ops/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
cd "$root"

# check NAME COMMAND...: runs one check; a failing one ends the run.
check() {
  local name="$1"
  shift
  printf '== %s\n' "$name"
  "$@" || stop "실패: $name" "Failed: $name"
}

set_up dev
check 'ruff check' "$venv/bin/ruff" check --quiet --output-format concise
check 'ruff format' "$venv/bin/ruff" format --check --quiet
check 'mypy --strict' "$venv/bin/mypy"
check 'lint-imports' "$venv/bin/lint-imports" --cache-dir var/cache/import_linter
printf '== pytest\n'
# Most tests wait for real processes, so several run at once; each has servers and databases of its own.
exec "$venv/bin/python" -m pytest --numprocesses 3 --dist worksteal "$@"
