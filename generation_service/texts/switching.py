"""Texts of the switchover: its steps as they are taken, its reports, its refusals, and the status page."""

_PROBLEMS: dict[str, tuple[str, str, str, str]] = {
    # code: title and sentence, in English and in Korean
    "switch_under_way": (
        "A switch is under way",
        (
            "A {kind} that {said_by} began at {since} is under way (steps done: {steps_done}). Wait for its end; "
            "its id is {id}."
        ),
        "전환이 진행 중입니다",
        (
            "{said_by}이(가) {since}에 시작한 {kind}이(가) 진행 중입니다(마친 단계: {steps_done}). 끝날 때까지 기다려 "
            "주세요. id는 {id}입니다."
        ),
    ),
    "switch_taken_over": (
        "Another process goes on with the switch",
        "This process was silent for too long, so another one has taken the switch {id} over and finishes it.",
        "다른 프로세스가 전환을 이어받았습니다",
        "이 프로세스가 오래 응답하지 않아 다른 프로세스가 전환 {id}을(를) 이어받아 마칩니다.",
    ),
    "switch_not_found": (
        "There is no such switch",
        "No rollback or roll-forward has this id. List them with GET /api/admin/rollbacks.",
        "해당 전환이 없습니다",
        "이 id의 롤백이나 롤포워드가 없습니다. GET /api/admin/rollbacks로 목록을 확인해 주세요.",
    ),
    "mode_has_changed": (
        "The mode has changed meanwhile",
        "Somebody else has said another mode meanwhile, and it is in force. Look at it, then ask again.",
        "그사이 모드가 바뀌었습니다",
        "그사이 다른 사람이 모드를 바꾸었고 그 모드가 적용 중입니다. 확인한 뒤 다시 요청해 주세요.",
    ),
}

_STEPS: dict[str, tuple[str, str]] = {
    "flag": ("New jobs go to {type} (epoch {epoch}).", "새 작업이 {type}(으)로 갑니다 (epoch {epoch})."),
    "wake": (
        "The RQ part is on (epoch {epoch}); workers leave standby.",
        "RQ 부분을 켰습니다 (epoch {epoch}). 워커가 대기 상태에서 나옵니다.",
    ),
    "gates": ("Gates: {gates}.", "관문: {gates}."),
    "undo": (
        "The mode from before is in force again (epoch {epoch}).",
        "이전 모드로 되돌렸습니다 (epoch {epoch}).",
    ),
    "migrate": (
        (
            "{migrated} jobs moved ({waiting} waiting, {scheduled} scheduled, {running} running); {remaining} left; "
            "Redis {redis}."
        ),
        (
            "작업 {migrated}개를 옮겼습니다 (대기 {waiting}, 예약 {scheduled}, 실행 {running}). "
            "남은 작업 {remaining}개. Redis {redis}."
        ),
    ),
    "sync": (
        "RQ and the database compared: {differed} differed; Redis {redis}.",
        "RQ와 데이터베이스를 맞추었습니다. 다른 항목 {differed}개. Redis {redis}.",
    ),
    "verify": ("Verified: {findings}.", "검증했습니다: {findings}."),
    "report": ("The report is written.", "보고서를 저장했습니다."),
    "failed": ("Not carried out ({error}).", "수행하지 못했습니다 ({error})."),
}

_FINDINGS: dict[str, tuple[str, str]] = {
    "mode_overridden": (
        "somebody has said another mode since (epoch {epoch}); it is in force",
        "그 뒤 다른 모드(epoch {epoch})가 선언되어 그것이 적용 중입니다",
    ),
    "jobs_left": (
        "{waiting} waiting and {running} running jobs are not moved yet; recovery goes on moving them",
        "대기 {waiting}개, 실행 {running}개 작업이 아직 옮겨지지 않았습니다. 복구 기능이 계속 옮깁니다",
    ),
    "ledger_not_clean": (
        "the ledger is not clean: {lost} lost, {duplicated} duplicated, {unexplained} unexplained",
        "원장이 맞지 않습니다: 유실 {lost}, 중복 {duplicated}, 설명 불가 {unexplained}",
    ),
    "no_api_process": (
        "no API process is alive to run {jobs} jobs: start it",
        "작업 {jobs}개를 실행할 API 프로세스가 없습니다. 시작해 주세요",
    ),
    "no_worker_process": (
        "no worker is alive to run {jobs} jobs: start one",
        "작업 {jobs}개를 실행할 워커가 없습니다. 시작해 주세요",
    ),
    "redis_unreachable": (
        "Redis does not answer; what lies in its queues is tidied up by the next migration or status sync",
        "Redis가 응답하지 않습니다. 큐에 남은 것은 다음 마이그레이션이나 상태 동기화가 정리합니다",
    ),
    "step_failed": ("step {step} was not carried out ({error})", "{step} 단계를 수행하지 못했습니다 ({error})"),
    "gates_failed": ("these gates did not let it pass: {gates}", "통과하지 못한 관문: {gates}"),
    "gates_forced": ("these gates were passed by force: {gates}", "강제로 지나간 관문: {gates}"),
    "superseded": ("a rollback of {by} took its place", "{by}의 롤백이 대신했습니다"),
}

_STATUS: dict[str, tuple[str, str]] = {
    "running": ("IN PROGRESS", "진행 중"),
    "completed": ("STABLE", "안정"),
    "failed": ("NEEDS ATTENTION", "조치 필요"),
}

_NEXT_STEPS: dict[str, tuple[str, str]] = {
    "watch": ("Monitor for 24 hours (ops/watch.sh).", "24시간 동안 지켜봅니다 (ops/watch.sh)."),
    "verify": (
        "Run ops/verify-rollback.sh and keep its output with this report.",
        "ops/verify-rollback.sh를 실행하고 결과를 이 보고서와 함께 보관합니다.",
    ),
    "cause": (
        "Find the root cause and fix the issues it shows.",
        "근본 원인을 찾고 드러난 문제를 고칩니다.",
    ),
    "redeploy": (
        (
            "Plan the way back: root cause solved, load test passed, no memory leak, team approval; then "
            "ops/rollforward.sh, gradually."
        ),
        (
            "재배포를 계획합니다: 근본 원인 해결, 부하 테스트 통과, 메모리 누수 없음, 팀 승인. 그 뒤 "
            "ops/rollforward.sh로 단계적으로 되돌립니다."
        ),
    ),
    "findings": (
        "See to what was found, then run the same command again: it goes on with what is left.",
        "발견된 것을 처리한 뒤 같은 명령을 다시 실행합니다. 남은 일을 이어서 합니다.",
    ),
    "raise": (
        "Raise the share of projects step by step: rollforward --percent N.",
        "프로젝트 비율을 단계적으로 올립니다: rollforward --percent N.",
    ),
    "gates": (
        "See to the gates that did not pass; jobs go on as before.",
        "통과하지 못한 관문을 처리합니다. 작업은 이전과 같이 실행됩니다.",
    ),
}

_REPORT: dict[str, tuple[str, str]] = {
    "title.rollback": ("Rollback report", "롤백 보고서"),
    "title.rollforward": ("Roll-forward report", "롤포워드 보고서"),
    "duration": ("{seconds} seconds", "{seconds}초"),
    "none": ("nothing to remark", "이상 없음"),
    "timestamp": ("Time", "시각"),
    "lasted": ("Duration", "소요 시간"),
    "status": ("Status", "상태"),
    "said_by": ("By", "실행자"),
    "root_cause": ("Root cause", "원인"),
    "evidence": ("Evidence", "근거"),
    "affected_users": ("Affected users", "영향받은 사용자"),
    "jobs_moved": ("Jobs moved", "옮긴 작업"),
    "failed_jobs": ("Failed jobs since", "이후 실패한 작업"),
    "jobs_before": ("Jobs found", "시작 시 작업"),
    "actions": ("Actions taken", "조치"),
    "findings": ("Findings", "발견 사항"),
    "next_steps": ("Next steps", "다음 할 일"),
    "jobs_before.line": (
        "{backend}: {waiting} waiting, {scheduled} scheduled, {running} running",
        "{backend}: 대기 {waiting}, 예약 {scheduled}, 실행 {running}",
    ),
    "action": ("{time} {what} ({seconds} s)", "{time} {what} ({seconds}초)"),
    "gate.passed": ("{name} ok", "{name} 통과"),
    "gate.failed": ("{name} FAILED", "{name} 실패"),
}

_PAGE: dict[str, tuple[str, str]] = {
    "title.rollback": ("Current System Status: ROLLBACK MODE", "현재 시스템 상태: 롤백 모드"),
    "title.normal": ("Current System Status: DURABLE WORKER MODE", "현재 시스템 상태: 내구성 워커 모드"),
    "worker_system.background_tasks": (
        "Worker System: FastAPI BackgroundTasks (in-process, bounded)",
        "워커 시스템: FastAPI BackgroundTasks (프로세스 내 실행, 동시 실행 수 제한)",
    ),
    "worker_system.rq": ("Worker System: RQ", "워커 시스템: RQ"),
    "rollout": ("Projects on RQ: {percent} %", "RQ를 쓰는 프로젝트: {percent} %"),
    "rq.off": ("RQ System: DISABLED (workers on standby)", "RQ 시스템: 사용 안 함 (워커 대기 중)"),
    "rq.on": ("RQ System: ENABLED", "RQ 시스템: 사용 중"),
    "redis.off": (
        "Redis: not needed (at most it wakes readers sooner); jobs, events and idempotency keys are in the database",
        "Redis: 필요 없음(스트림 독자를 더 빨리 깨우는 정도). 작업, 이벤트, 멱등성 키는 데이터베이스에 있음",
    ),
    "redis.kept": (
        "Redis: used only to wake readers and for RQ jobs that still end there; idempotency keys are in the database",
        "Redis: 스트림 독자를 깨우고 RQ에 남은 작업을 마치는 데만 사용. 멱등성 키는 데이터베이스에 있음",
    ),
    "redis.on": (
        "Redis: delivers jobs to workers and wakes readers; the database is the truth",
        "Redis: 작업을 워커에 전달하고 스트림 독자를 깨움. 기준은 데이터베이스",
    ),
    "since.rollback": ("Rollback Date: {since}", "롤백 시각: {since}"),
    "since.normal": ("Since: {since}", "적용 시각: {since}"),
    "reason": ("Reason: {reason} (said by {said_by}, {source})", "사유: {reason} ({said_by}, {source})"),
    "report": ("Report: {id}", "보고서: {id}"),
    "nobody": ("Nobody has said a mode yet", "아직 모드가 선언되지 않았습니다"),
}

_TERMINAL: dict[str, tuple[str, str]] = {
    "help.rollback": (
        (
            "Everything to in-process execution: switch, migrate, sync, verify, report. Works with Redis dead and the "
            "API down; killed half-way, it goes on by itself or with the next call."
        ),
        (
            "모든 작업을 프로세스 내 실행으로 옮깁니다: 전환, 이동, 동기화, 검증, 보고. Redis나 API가 꺼져 "
            "있어도 되며, 중간에 죽어도 저절로 또는 다음 호출로 이어집니다."
        ),
    ),
    "help.rollback.keep_running": (
        "Let running jobs end where they are [default: they are taken over from their last step].",
        "실행 중인 작업은 그 자리에서 끝나게 둡니다 [기본값: 마지막 단계부터 이어받음].",
    ),
    "help.rollback.keep_workers": (
        "Leave the RQ part on [default: workers go on standby].",
        "RQ 부분을 켜 둡니다 [기본값: 워커가 대기 상태로 감].",
    ),
    "help.rollback.show": (
        "Print the report with this id (or 'last') and do nothing else.",
        "이 id(또는 'last')의 보고서를 출력하고 끝냅니다.",
    ),
    "help.rollback.format": ("Format of --show.", "--show의 형식."),
    "help.rollback.status_page": (
        "Print the status page (Markdown) and do nothing else.",
        "상태 페이지(Markdown)를 출력하고 끝냅니다.",
    ),
    "help.switch.reason": (
        "Why; kept in the history, the audit and the report.",
        "사유. 이력, 감사 기록, 보고서에 남습니다.",
    ),
    "help.switch.dry_run": (
        "Say what would change and move; change nothing.",
        "무엇이 바뀌고 옮겨질지 알려 주기만 합니다.",
    ),
    "help.rollforward": (
        (
            "New jobs go to RQ again, if the gates let it pass: Redis writable, workers alive, a canary job through "
            "RQ, the ledger clean, and what people say to the criteria. Each job stays with the backend it has."
        ),
        (
            "관문을 통과하면 새 작업이 다시 RQ로 갑니다: Redis 쓰기, 살아 있는 워커, RQ를 통과하는 카나리 작업, "
            "맞는 원장, 그리고 사람이 확인한 기준. 기존 작업은 지금의 백엔드에 남습니다."
        ),
    ),
    "help.rollforward.percent": (
        "Share of the projects; repeat with more [default: DURABLE_WORKER_ROLLOUT_PERCENT].",
        "프로젝트 비율. 다시 실행해 올립니다 [기본값: DURABLE_WORKER_ROLLOUT_PERCENT].",
    ),
    "help.rollforward.project": (
        "A project that goes to RQ whatever the share; may be given again [default: DURABLE_WORKER_PROJECTS].",
        "비율과 상관없이 RQ로 갈 프로젝트. 여러 번 지정 가능 [기본값: DURABLE_WORKER_PROJECTS].",
    ),
    "help.rollforward.carry": (
        "waiting: take along what waits, too.",
        "waiting: 기다리는 작업도 함께 옮깁니다.",
    ),
    "help.rollforward.root_cause": ("What the root cause was, and how it was solved.", "근본 원인과 해결 방법."),
    "help.rollforward.load_test": ("Which load test has passed (24 hours).", "통과한 부하 테스트 (24시간)."),
    "help.rollforward.no_leak": ("How it was seen that no memory leaks.", "메모리 누수가 없음을 확인한 방법."),
    "help.rollforward.approved_by": ("Who has approved it.", "승인한 사람."),
    "help.rollforward.force": (
        "Go on though gates fail; it is recorded.",
        "관문이 실패해도 진행합니다. 기록에 남습니다.",
    ),
    "switch.reason_needed": ("--reason is needed: why is this done?", "--reason이 필요합니다. 왜 하나요?"),
    "switch.line": ("{clock:>8} s  {name:<8} {seconds:>7} s  {what}", "{clock:>7}초  {name:<8} {seconds:>6}초  {what}"),
    "switch.following": (
        "A {kind} is under way since {since} ({said_by}); following it.",
        "{since}부터 {kind}이(가) 진행 중입니다({said_by}). 이어서 지켜봅니다.",
    ),
    "switch.done": ("Done in {seconds} s.", "{seconds}초 만에 마쳤습니다."),
    "switch.not_done": ("Not all is done:", "남은 일이 있습니다:"),
    "switch.remark": ("  - {finding}", "  - {finding}"),
    "switch.report": (
        "Report: generation-service rollback --show {id}   (or GET /api/admin/rollbacks/{id})",
        "보고서: generation-service rollback --show {id}   (또는 GET /api/admin/rollbacks/{id})",
    ),
    "switch.database_away": (
        "The database went away. Run the same command again: it goes on where it stopped.",
        "데이터베이스에 연결할 수 없게 되었습니다. 같은 명령을 다시 실행하면 멈춘 곳에서 이어집니다.",
    ),
    "switch.no_report": ("There is no report yet.", "아직 보고서가 없습니다."),
    "switch.preview.mode": (
        "The mode would go from {before} to {after}.",
        "모드가 {before}에서 {after}(으)로 바뀝니다.",
    ),
    "switch.preview.same": ("The mode would stay {after}.", "모드는 {after} 그대로입니다."),
    "switch.preview.moves": (
        "Would move: {waiting} waiting, {scheduled} scheduled, {running} running.",
        "옮길 작업: 대기 {waiting}, 예약 {scheduled}, 실행 {running}.",
    ),
    "switch.preview.stays": ("Each job would stay with its backend.", "기존 작업은 지금의 백엔드에 남습니다."),
}


def _both(prefix: str, texts: dict[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {f"{prefix}.{key}": {"en": english, "ko": korean} for key, (english, korean) in texts.items()}


TEXTS: dict[str, dict[str, str]] = {
    **{f"problem_title.{code}": {"en": told[0], "ko": told[2]} for code, told in _PROBLEMS.items()},
    **{f"problem.{code}": {"en": told[1], "ko": told[3]} for code, told in _PROBLEMS.items()},
    **_both("switching.step", _STEPS),
    **_both("switching.finding", _FINDINGS),
    **_both("switching.status", _STATUS),
    **_both("switching.next", _NEXT_STEPS),
    **_both("switching.report", _REPORT),
    **_both("switching.page", _PAGE),
    **_both("terminal", _TERMINAL),
}
