#!/usr/bin/env bash
# Moves everything from RQ to in-process execution: flag, waiting and running jobs, statuses, verification, report.
# Works on the database and Redis directly, so with Redis dead and the API down too. Undo: ops/rollforward.sh.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

usage() {
  say "사용법: ops/rollback.sh --reason \"이유\" [옵션]

  RQ에서 인프로세스 실행으로 전환합니다: 플래그를 끄고, 대기·예약·재시도·실행 중인 작업을 옮기고(실행 중인 작업은
  마지막으로 저장된 단계부터), 상태를 맞추고, 확인하고, 보고서를 남깁니다. 단계마다 한 줄과 걸린 시간을 출력합니다.
  Redis나 API가 죽어 있어도 됩니다. 중간에 끊겨도 다시 실행하면 이어서 끝냅니다.

  --reason TEXT   이유 (필수; 기록과 보고서에 남음)
  --keep-running  실행 중인 작업은 있는 곳에서 끝나게 둠
  --keep-workers  RQ 워커를 대기 상태로 보내지 않음
  --dry-run       무엇이 바뀌고 옮겨질지만 출력
  --json          결과를 JSON 객체 하나로 출력

  환경은 서비스와 같습니다. $environment_file (GENERATION_ENV_FILE로 변경)과 .env를 읽고, 이 셸의 변수가 우선합니다.
  종료 코드: 0 완료, 1 남은 것이 있음, 2 잘못된 사용." \
    "Usage: ops/rollback.sh --reason \"WHY\" [OPTIONS]

  From RQ to in-process execution: turns the flag off, moves what waits, is scheduled, is to be tried again or runs
  (running jobs go on from their last committed step), brings the statuses together, verifies, leaves a report. Prints
  a line a step with its time. Works with Redis or the API down. Cut off half-way and run again, it completes.

  --reason TEXT   why (needed; kept in the audit and the report)
  --keep-running  let running jobs end where they are
  --keep-workers  do not send RQ workers to standby
  --dry-run       only say what would change and what would move
  --json          print the result as one JSON object

  The environment is the service's: $environment_file (GENERATION_ENV_FILE names another) and .env are read; what this
  shell exports goes before them. Exit codes: 0 done, 1 something is left, 2 wrong use."
}

if asks_for_help "$@"; then
  usage 2>&1
  exit 0
fi
enter
code=0
"$venv/bin/generation-service" rollback "$@" || code=$?
if [ "$code" -le 1 ] && ! takes_json "$@"; then
  service_says || true
fi
exit "$code"
