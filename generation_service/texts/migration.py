"""Texts about moving jobs between the backends, comparing statuses, and the ledger."""

TEXTS: dict[str, dict[str, str]] = {
    "problem_title.rq_switched_off": {
        "en": "The RQ part is switched off",
        "ko": "RQ 부분이 꺼져 있습니다",
    },
    "problem.rq_switched_off": {
        "en": "Nothing would run these jobs in RQ while its workers stand by. Switch it on first (rollforward, or "
        "worker-mode with worker_system_enabled), then migrate.",
        "ko": "워커가 대기 상태라서 RQ에서 이 작업을 실행할 프로세스가 없습니다. 먼저 켠 뒤"
        "(rollforward 또는 worker-mode의 worker_system_enabled) 다시 옮겨 주세요.",
    },
    "problem_title.migration_under_way": {
        "en": "Another migration is under way",
        "ko": "다른 이전 작업이 진행 중입니다",
    },
    "problem.migration_under_way": {
        "en": "Jobs are being moved just now, and one mover at a time counts what it moves. Try again in a moment; "
        "nothing is moved twice.",
        "ko": "지금 작업을 옮기는 중이며 한 번에 하나만 실행됩니다. 잠시 뒤 다시 시도해 주세요. "
        "두 번 옮겨지는 작업은 없습니다.",
    },
    "terminal.overview.ledger": {
        "en": "Ledger: {accepted} accepted; {lost} lost, {duplicated} duplicated, {unexplained} unexplained.",
        "ko": "원장: 접수 {accepted}건, 유실 {lost}, 중복 {duplicated}, 설명되지 않음 {unexplained}.",
    },
    "migration.help.to_background": {
        "en": "Move the jobs that wait for RQ to in-process execution, straight in the database: with the API down and "
        "Redis dead, too. Undo: rollforward, then migrate_background_to_rq. Exit codes: 0 done, 1 something is "
        "left, 2 wrong use.",
        "ko": "RQ에서 기다리는 작업을 프로세스 내 실행으로 옮깁니다. 데이터베이스에 직접 작업하므로 API나 Redis가 "
        "멈춰 있어도 됩니다. 되돌리기: rollforward 후 migrate_background_to_rq. "
        "종료 코드: 0 완료, 1 남은 것이 있음, 2 잘못된 사용.",
    },
    "migration.help.to_rq": {
        "en": "Move the jobs that wait for in-process execution to RQ, straight in the database: with the API down, "
        "too. Undo: rollback, then migrate_rq_to_background. Exit codes: 0 done, 1 something is left (RQ "
        "cannot be reached, so they wait until it can), 2 wrong use.",
        "ko": "프로세스 내 실행을 기다리는 작업을 RQ로 옮깁니다. 데이터베이스에 직접 작업하므로 API가 멈춰 있어도 "
        "됩니다. 되돌리기: rollback 후 migrate_rq_to_background. 종료 코드: 0 완료, "
        "1 남은 것이 있음(RQ에 연결할 수 없어 기다림), 2 잘못된 사용.",
    },
    "migration.help.sync": {
        "en": "Compare RQ's view with the database, which is right, and put right what differs. It changes no job's "
        "result, so there is nothing to undo. Exit codes: 0 done, 1 RQ could not be compared, 2 wrong use.",
        "ko": "RQ의 상태를 데이터베이스(기준)와 비교해 다른 점을 바로잡습니다. 작업 결과는 바꾸지 않으므로 "
        "되돌릴 것이 없습니다. 종료 코드: 0 완료, 1 RQ와 비교하지 못함, 2 잘못된 사용.",
    },
    "migration.help.dry_run": {
        "en": "change nothing, and say what would be done",
        "ko": "아무것도 바꾸지 않고 무엇을 할지만 보여 줍니다",
    },
    "migration.help.json": {
        "en": "print one JSON object, for programs",
        "ko": "프로그램용 JSON 객체 하나를 출력합니다",
    },
    "migration.help.running": {
        "en": "take over what runs as well: it goes on from its last committed step",
        "ko": "실행 중인 작업도 넘겨받습니다. 마지막으로 저장된 단계부터 이어집니다",
    },
    "migration.moving": {"en": "{migrated} moved so far", "ko": "지금까지 {migrated}건 이동"},
    "migration.moved": {
        "en": "{migrated} jobs moved from {source} to {target}: {waiting} waiting, {scheduled} due later, "
        "{running} running.",
        "ko": "{source}에서 {target}(으)로 작업 {migrated}건을 옮겼습니다: 대기 {waiting}, 예약 {scheduled}, "
        "실행 중 {running}.",
    },
    "migration.would_move": {
        "en": "{migrated} jobs would move from {source} to {target}: {waiting} waiting, {scheduled} due later, "
        "{running} running.",
        "ko": "{source}에서 {target}(으)로 작업 {migrated}건이 옮겨집니다: 대기 {waiting}, 예약 {scheduled}, "
        "실행 중 {running}.",
    },
    "migration.stayed": {
        "en": "{skipped} stay on purpose, {remaining} could not be moved yet.",
        "ko": "의도적으로 남긴 작업 {skipped}건, 아직 옮기지 못한 작업 {remaining}건.",
    },
    "migration.tidied": {
        "en": "In RQ: {forgotten} deliveries forgotten, {dead_lettered} unknown entries kept as dead letters.",
        "ko": "RQ 정리: 전달 {forgotten}건 제거, 알 수 없는 항목 {dead_lettered}건을 데드 레터로 보관.",
    },
    "migration.redis.unreachable": {
        "en": "Redis does not answer: its queues were not tidied up. Jobs that moved are safe; run this again later.",
        "ko": "Redis가 응답하지 않아 큐를 정리하지 못했습니다. 옮긴 작업은 안전합니다. 나중에 다시 실행해 주세요.",
    },
    "migration.redis.refused": {
        "en": "Redis refuses to be changed (read-only, out of memory, disk trouble): its queues were not tidied up.",
        "ko": "Redis가 변경을 거부합니다(읽기 전용, 메모리 부족, 디스크 문제). 큐를 정리하지 못했습니다.",
    },
    "migration.synced": {
        "en": "{examined} entries and jobs compared, {differed} differed.",
        "ko": "항목과 작업 {examined}건을 비교했고 {differed}건이 달랐습니다.",
    },
    "migration.no_database": {
        "en": "The database has no tables yet: DATABASE_URL names another one, or the service was never started.",
        "ko": "데이터베이스에 테이블이 없습니다. DATABASE_URL이 다르거나 서비스를 시작한 적이 없습니다.",
    },
    "migration.bad_database": {
        "en": "DATABASE_URL cannot be used: it takes sqlite:///file or postgresql://...",
        "ko": "DATABASE_URL을 사용할 수 없습니다. sqlite:///파일 또는 postgresql://... 형식이어야 합니다.",
    },
    "migration.database_away": {
        "en": "The database does not answer. What was done is done; run this again to go on.",
        "ko": "데이터베이스가 응답하지 않습니다. 이미 한 일은 유지됩니다. 다시 실행하면 이어집니다.",
    },
    "difference.finished_in_rq_but_pending": {
        "en": "finished in RQ, not in the database: delivered again",
        "ko": "RQ에서는 완료, 데이터베이스에서는 대기: 다시 전달",
    },
    "difference.failed_in_rq_but_pending": {
        "en": "failed in RQ, still waiting in the database: delivered again",
        "ko": "RQ에서는 실패, 데이터베이스에서는 대기: 다시 전달",
    },
    "difference.lost_in_rq": {
        "en": "delivered and nowhere in RQ: delivered again",
        "ko": "전달했으나 RQ에 없음: 다시 전달",
    },
    "difference.running_but_gone_from_rq": {
        "en": "running in the database, gone from RQ: rescued when its lease runs out",
        "ko": "데이터베이스에서는 실행 중, RQ에는 없음: 임대 만료 시 복구",
    },
    "difference.failed_in_rq_but_running": {
        "en": "failed by RQ while it runs: RQ's trace removed",
        "ko": "실행 중인데 RQ가 실패로 표시: RQ의 기록 제거",
    },
    "difference.failed_in_rq_but_completed": {
        "en": "failed by RQ though it ended well: RQ's trace removed",
        "ko": "정상 완료했으나 RQ가 실패로 표시: RQ의 기록 제거",
    },
    "difference.ended_but_queued": {
        "en": "ended, and still queued in RQ: forgotten there",
        "ko": "끝났으나 RQ 큐에 남음: 큐에서 제거",
    },
    "difference.stale_delivery": {
        "en": "earlier deliveries, or of jobs that moved: forgotten",
        "ko": "이전 전달 또는 옮겨진 작업의 전달: 제거",
    },
    "difference.abandoned_in_rq": {
        "en": "RQ believes it still runs: trace removed",
        "ko": "RQ는 아직 실행 중으로 알고 있음: 기록 제거",
    },
    "difference.unknown_in_rq": {
        "en": "in RQ and unknown to the database: kept as dead letters",
        "ko": "RQ에는 있으나 데이터베이스가 모르는 항목: 데드 레터로 보관",
    },
    "difference.foreign_and_running": {
        "en": "not ours, and running in RQ: left to its worker",
        "ko": "우리 작업이 아니며 RQ에서 실행 중: 해당 워커에 맡김",
    },
}
