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

# compile_tests: collects the tests once, beside the other checks, so that pytest's processes find them compiled.
# It says nothing: what cannot be collected, pytest says itself.
compile_tests() {
  timeout 120 "$venv/bin/python" -m pytest --collect-only -qq >/dev/null 2>&1 &
  compiling=$!
  trap 'kill "$compiling" 2>/dev/null || true' EXIT
}

# use_memory: what tests write outlives nothing, so it goes to memory where there is room: a fresh PostgreSQL
# database is there in a tenth of the time that a disk takes.
use_memory() {
  local memory=/dev/shm gibibytes=4
  if [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] && [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -gt $((gibibytes << 20)) ]; then
    export TMPDIR="$memory"
  fi
}

set_up dev
compile_tests
check 'ruff check' "$venv/bin/ruff" check --quiet --output-format concise
check 'ruff format' "$venv/bin/ruff" format --check --quiet
check 'mypy --strict' "$venv/bin/mypy"
check 'lint-imports' "$venv/bin/lint-imports" --cache-dir var/cache/import_linter
printf '== pytest\n'
use_memory
wait "$compiling" || true
# Most tests wait for real processes, so several run at once; each has servers and databases of its own.
exec "$venv/bin/python" -m pytest --numprocesses 4 "$@"
