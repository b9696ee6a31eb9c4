#!/usr/bin/env bash
# Brings jobs back to RQ, through gates, and gradually where asked. Undo: ops/rollback.sh.
set -euo pipefail

# shellcheck source=ops/lib/service.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/service.sh"

usage() {
  say "사용법: ops/rollforward.sh --reason \"이유\" [옵션]

  RQ로 되돌립니다. 먼저 관문을 확인합니다: Redis에 쓸 수 있는지, 워커가 살아 있는지, 시험 작업이 RQ에서 끝까지 가는지,
  원장이 맞는지, 그리고 근본 원인·부하 시험·메모리 누수·승인 기록. 하나라도 막히면 아무것도 바뀌지 않습니다.
  이미 접수된 작업은 지금 있는 곳에서 끝납니다.

  --reason TEXT       이유 (필수)
  --root-cause TEXT   근본 원인과 해결 내용
  --load-test TEXT    부하 시험 결과 (24시간)
  --no-leak TEXT      메모리 누수가 없음을 확인한 내용
  --approved-by NAME  승인자
  --percent N         프로젝트 가운데 RQ로 보낼 비율 (다시 실행해 올림)
  --project ID        비율과 상관없이 RQ로 보낼 프로젝트 (여러 번 쓸 수 있음)
  --force             관문을 무시 (이유와 함께 기록됨)
  --dry-run, --json   rollback.sh와 같음. 모든 옵션: generation-service rollforward --help

  종료 코드: 0 완료, 1 관문에 막힘 또는 남은 것이 있음, 2 잘못된 사용." \
    "Usage: ops/rollforward.sh --reason \"WHY\" [OPTIONS]

  Back to RQ. First the gates: Redis can be written to, workers live, a canary job goes through RQ end to end, the ledger
  is clean, and root cause, load test, leaks and approval are on record. Where one is shut, nothing changes. Jobs that
  were accepted stay with the backend that they have.

  --reason TEXT       why (needed)
  --root-cause TEXT   what the cause was, and what was done
  --load-test TEXT    the result of the load test (24 hours)
  --no-leak TEXT      how it is known that no memory leaks
  --approved-by NAME  who approved
  --percent N         how many of the projects go to RQ (run again to raise it)
  --project ID        one that goes to RQ whatever the percentage (may be repeated)
  --force             past the gates (recorded, with the reason)
  --dry-run, --json   as for rollback.sh. All options: generation-service rollforward --help

  Exit codes: 0 done, 1 a gate is shut or something is left, 2 wrong use."
}

if asks_for_help "$@"; then
  usage 2>&1
  exit 0
fi
enter
code=0
"$venv/bin/generation-service" rollforward "$@" || code=$?
if [ "$code" -le 1 ] && ! takes_json "$@"; then
  service_says || true
fi
exit "$code"
