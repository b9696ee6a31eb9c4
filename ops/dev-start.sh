#!/usr/bin/env bash
# Brings the whole service up on this machine, for development: sets .venv up, then Redis, API, worker, scheduler.
# --demo generates one episode from the sample documents and takes everything down again.
set -euo pipefail

# shellcheck source=ops/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
cd "$root"

usage() {
  say "사용법: ops/dev-start.sh [--demo] [--language ko|en]

  서비스 전체(Redis, API, 워커, 스케줄러)를 이 컴퓨터에서 띄웁니다. 처음에는 .venv를 만들고 설치합니다.
  Ctrl+C를 누르면 모두 끝납니다. 로그는 var/log/*.log, pid 파일은 var/run/, 데이터는 var/에 있습니다.

  --demo           예제 문서를 올리고, 내구성 워커로 에피소드 하나를 생성해 출력한 뒤, 모두 정리하고 끝냅니다
  --language ko|en 예제 문서의 언어 (기본값: LANG의 언어)

  환경 변수: PORT, HOST, DATABASE_URL, REDIS_URL, USE_DURABLE_WORKER, ... (.env.example 참고).
  PORT가 다르면 두 스택을 나란히 띄울 수 있습니다. 같은 데이터베이스를 쓰면 한 서비스가 되고,
  DATABASE_URL까지 다르면 서로 상관없는 두 서비스가 됩니다." \
    "Usage: ops/dev-start.sh [--demo] [--language ko|en]

  Brings up the whole service on this machine: Redis, API, worker, scheduler. The first time it makes .venv
  and installs. Ctrl+C ends all of it. Logs are var/log/*.log, pid files are in var/run/, data is in var/.

  --demo           upload the sample documents, generate one episode through a durable worker, print it,
                   take everything down, exit 0
  --language ko|en which sample documents (default: the language of LANG)

  Environment: PORT, HOST, DATABASE_URL, REDIS_URL, USE_DURABLE_WORKER, ... (see .env.example).
  Two stacks run side by side with different PORTs: on one database they are one service, with different
  DATABASE_URLs they have nothing to do with each other."
}

for argument in "$@"; do
  case "$argument" in
    -h | --help)
      usage 2>&1
      exit 0
      ;;
  esac
done

set_up runtime
exec "$venv/bin/python" -m scripts.dev_stack "$@"
