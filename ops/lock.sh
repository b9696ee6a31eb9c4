#!/usr/bin/env bash
# Writes requirements.lock, requirements-dev.lock, requirements-bench.lock and requirements-build.lock anew from pyproject.toml:
# for Python 3.11 and later, with hashes, without any index address. Needs uv, which it installs into a throw-away environment.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"
tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT

"$python" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv

# compile OUTPUT SOURCE OPTION...
compile() {
  local output="$1" source="$2"
  shift 2
  "$tools/bin/uv" pip compile "$source" "$@" --upgrade \
    --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command 'ops/lock.sh' --output-file "$output"
}

# What builds the project, and the few packages that come as source, is locked too.
printf 'setuptools>=77\n' | compile requirements-build.lock -
compile requirements-dev.lock pyproject.toml --extra dev
compile requirements.lock pyproject.toml --constraint requirements-dev.lock
compile requirements-bench.lock pyproject.toml --extra bench --constraint requirements-dev.lock
