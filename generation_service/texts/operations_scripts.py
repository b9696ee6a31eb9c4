"""Texts of the operations scripts: verifying a rollback, watching, ending workers, serving metrics."""

TEXTS: dict[str, dict[str, str]] = {
    "verification.passed": {"en": "ok     ", "ko": "통과"},
    "verification.failed": {"en": "FAILED ", "ko": "실패"},
    "verification.skipped": {"en": "skipped", "ko": "생략"},
    "verification.verified": {
        "en": "Verified: {checks} checks in {seconds} s.",
        "ko": "검증 완료: {checks}개 항목, {seconds}초.",
    },
    "verification.not_verified": {
        "en": "NOT verified: {failed} of {checks} checks failed ({seconds} s).",
        "ko": "검증 실패: {checks}개 항목 중 {failed}개 실패 ({seconds}초).",
    },
    "verification.mode_line": {
        "en": "The API at {url} says: worker_system enabled {enabled}, type {type}.",
        "ko": "API({url}) 확인: worker_system enabled {enabled}, type {type}.",
    },
    "verification.mode_line_missed": {
        "en": "The API at {url} could not be asked ({why}). The mode is in force all the same: it is a row in the "
        "database, which each process reads.",
        "ko": "API({url})에 확인하지 못했습니다({why}). 그래도 모드는 적용되어 있습니다: 모드는 모든 프로세스가 읽는 "
        "데이터베이스의 행입니다.",
    },
    "verification.check.flag": {"en": "the flag is applied", "ko": "플래그 적용"},
    "verification.check.answers": {"en": "the service answers", "ko": "서비스 응답"},
    "verification.check.in_process": {"en": "a job runs in-process", "ko": "새 작업의 인프로세스 실행"},
    "verification.check.stream": {"en": "its stream is whole", "ko": "이벤트 스트림"},
    "verification.check.progress": {"en": "progress is live", "ko": "실시간 진행률"},
    "verification.check.script": {"en": "a script is generated", "ko": "대본 생성"},
    "verification.check.episode": {"en": "its episode is numbered", "ko": "에피소드 번호"},
    "verification.check.workers_gone": {"en": "RQ workers are gone", "ko": "RQ 워커 종료"},
    "verification.check.document": {"en": "a document is read", "ko": "문서 처리"},
    "verification.check.in_a_row": {"en": "jobs in a row without an error", "ko": "오류 없는 연속 작업"},
    "verification.check.mean": {"en": "mean time of an answer", "ko": "평균 응답 시간"},
    "verification.check.p99": {"en": "99 % are answered within", "ko": "99% 응답 시간"},
    "verification.check.failures": {"en": "failed requests", "ko": "요청 실패율"},
    "verification.check.memory": {"en": "memory of an API process", "ko": "API 프로세스 메모리"},
    "verification.note.flag_on": {
        "en": "jobs still go to RQ: ops/rollback.sh --reason ...",
        "ko": "작업이 아직 RQ로 갑니다: ops/rollback.sh --reason ...",
    },
    "verification.note.not_ready": {"en": "/readyz answers {status}", "ko": "/readyz 응답이 {status}입니다"},
    "verification.note.slow": {"en": "too slow", "ko": "너무 느립니다"},
    "verification.note.elsewhere": {
        "en": "the job did not run in-process alone",
        "ko": "작업이 인프로세스로만 실행되지 않았습니다",
    },
    "verification.note.stream_gap": {
        "en": "the numbers of its events are not 1, 2, 3 ...",
        "ko": "이벤트 번호가 1, 2, 3 ... 순서가 아닙니다",
    },
    "verification.note.no_progress": {
        "en": "its progress does not rise to 100",
        "ko": "진행률이 100까지 올라가지 않았습니다",
    },
    "verification.note.held_back": {
        "en": "all events came within {seconds} s: something between here and the service holds the stream back",
        "ko": "모든 이벤트가 {seconds}초 안에 몰려 왔습니다: 중간의 프록시가 스트림을 모아 보내고 있습니다",
    },
    "verification.note.job_failed": {"en": "its error is {code}", "ko": "오류 코드: {code}"},
    "verification.note.no_text": {"en": "its result is empty", "ko": "결과가 비어 있습니다"},
    "verification.note.no_episode": {"en": "the job left no episode", "ko": "에피소드가 저장되지 않았습니다"},
    "verification.note.wrong_number": {
        "en": "it is not the next number, or not saved under it",
        "ko": "다음 번호가 아니거나 그 번호로 저장되지 않았습니다",
    },
    "verification.note.workers_left": {"en": "still there: {names}", "ko": "남아 있는 워커: {names}"},
    "verification.note.workers_kept": {
        "en": "they were to be kept",
        "ko": "워커를 남겨 두도록 지정됨",
    },
    "verification.note.document": {"en": "its code is {code}", "ko": "오류 코드: {code}"},
    "verification.note.row_broken": {
        "en": "the next one was {status} ({code})",
        "ko": "그다음 작업의 상태: {status} ({code})",
    },
    "verification.note.fail": {"en": "too many", "ko": "너무 많습니다"},
    "verification.note.too_large": {"en": "too large", "ko": "너무 큽니다"},
    "verification.note.dry_run": {"en": "would be checked", "ko": "검사할 항목"},
    "verification.note.no_answer": {"en": "no answer ({error})", "ko": "응답 없음 ({error})"},
    "verification.note.answered": {
        "en": "{path} was answered with {status}",
        "ko": "{path}의 응답이 {status}입니다",
    },
    "verification.note.no_json": {
        "en": "the answer ({status}) is not JSON",
        "ko": "응답({status})이 JSON이 아닙니다",
    },
    "verification.note.too_long": {
        "en": "still {status} after {seconds} s",
        "ko": "{seconds}초가 지나도 {status} 상태입니다",
    },
    "verification.note.stream_without_end": {
        "en": "no ending within {seconds} s ({count} events)",
        "ko": "{seconds}초 안에 스트림이 끝나지 않았습니다 (이벤트 {count}개)",
    },
    "verification.note.stream_gone": {
        "en": "the stream has nothing more, and there was no ending",
        "ko": "끝맺는 이벤트 없이 스트림이 종료되었습니다",
    },
    "verification.note.no_admin_token": {
        "en": "neither the database nor, without ADMIN_TOKEN, the admin API can be asked from here",
        "ko": "여기서는 데이터베이스에 접근할 수 없고, ADMIN_TOKEN이 없어 관리 API도 쓸 수 없습니다",
    },
    "verification.note.no_database": {
        "en": "the database cannot be asked from here",
        "ko": "여기서는 데이터베이스에 접근할 수 없습니다",
    },
    "verification.note.no_memory": {
        "en": "no API process says how large it is",
        "ko": "메모리 사용량을 알리는 API 프로세스가 없습니다",
    },
    "verification.help.about": {
        "en": "Checks a service after a rollback, a line a check: its value, and its limit in parentheses. Its jobs "
        "are of high priority, in the project rollback-verification, which has a slot of its own.",
        "ko": "롤백 후 서비스를 점검합니다. 한 줄에 한 항목씩 값과 한도(괄호 안)를 출력합니다. 점검용 작업은 "
        "rollback-verification 프로젝트의 high 우선순위 작업이며 전용 슬롯에서 실행됩니다.",
    },
    "verification.help.exit_codes": {
        "en": "Exit codes: 0 every check passed, 1 one failed, 2 wrong use.",
        "ko": "종료 코드: 0 모두 통과, 1 실패한 항목 있음, 2 잘못된 사용.",
    },
    "verification.help.json": {"en": "print one JSON object", "ko": "JSON 객체 하나로 출력"},
    "verification.help.quick": {
        "en": "leave out the jobs in a row and the load",
        "ko": "연속 작업과 부하 점검을 생략",
    },
    "verification.help.keep_workers": {
        "en": "the rollback was asked to keep the workers: do not check that they are gone",
        "ko": "워커를 남겨 둔 롤백이므로 워커 종료를 점검하지 않음",
    },
    "verification.help.dry_run": {
        "en": "only say what would be checked; nothing is asked of the service",
        "ko": "점검할 항목만 출력하고 서비스에는 아무것도 요청하지 않음",
    },
    "verification.help.answer_seconds": {"en": "slowest answer of /readyz", "ko": "/readyz의 가장 느린 응답(초)"},
    "verification.help.worker_seconds": {
        "en": "how long workers may still take to end",
        "ko": "워커 종료를 기다리는 시간(초)",
    },
    "verification.help.job_seconds": {"en": "how long one job may take", "ko": "작업 하나의 제한 시간(초)"},
    "verification.help.jobs": {"en": "jobs in a row", "ko": "연속 작업 수"},
    "verification.help.requests": {"en": "requests of the load", "ko": "부하 요청 수"},
    "verification.help.at_once": {"en": "requests at once", "ko": "동시 요청 수"},
    "verification.help.mean_seconds": {"en": "mean time of an answer", "ko": "평균 응답 시간(초)"},
    "verification.help.p99_seconds": {"en": "99th percentile", "ko": "99% 응답 시간(초)"},
    "verification.help.failure_percent": {"en": "share of failed requests, in percent", "ko": "요청 실패율(%)"},
    "verification.help.memory_megabytes": {
        "en": "memory of one API process, in MiB",
        "ko": "API 프로세스 하나의 메모리(MiB)",
    },
    "rollback_metrics.serving": {
        "en": "Metrics of the rollback at http://{host}:{port}/metrics",
        "ko": "롤백 지표: http://{host}:{port}/metrics",
    },
    "rollback_metrics.no_port": {
        "en": "Nothing can listen at {host}, port {port} ({reason}): end what does, or choose another with --port.",
        "ko": "{host}의 {port}번 포트에서 들을 수 없습니다({reason}): 그 포트를 쓰는 프로그램을 끝내거나 --port로 다른 "
        "포트를 지정하세요.",
    },
    "rollback_metrics.dry_run": {
        "en": "Would read the database and Redis, or else ask {api}, with a baseline of {baseline_seconds} s, and "
        "serve http://{host}:{port}/metrics.",
        "ko": "데이터베이스와 Redis를 읽고(안 되면 {api}에 묻고), 기준 {baseline_seconds}초로 "
        "http://{host}:{port}/metrics에 지표를 제공할 것입니다.",
    },
    "rollback_metrics.help.about": {
        "en": "Serves system_rollback_active, rollback_performance_ratio, rollback_errors_total and what belongs to "
        "them for Prometheus, with the API down too.",
        "ko": "system_rollback_active, rollback_performance_ratio, rollback_errors_total 등의 지표를 Prometheus에 "
        "제공합니다. API가 꺼져 있어도 됩니다.",
    },
    "rollback_metrics.help.exit_codes": {
        "en": "Exit codes: 0 done, 1 the service could not be seen (with --once), 2 wrong use.",
        "ko": "종료 코드: 0 완료, 1 서비스를 확인할 수 없음(--once), 2 잘못된 사용.",
    },
    "rollback_metrics.help.host": {"en": "where to listen", "ko": "들을 주소"},
    "rollback_metrics.help.port": {"en": "where to listen (8090)", "ko": "들을 포트 (8090)"},
    "rollback_metrics.help.baseline": {
        "en": "mean time of an answer before the rollback (ROLLBACK_BASELINE_SECONDS)",
        "ko": "롤백 전 평균 응답 시간 (ROLLBACK_BASELINE_SECONDS)",
    },
    "rollback_metrics.help.once": {"en": "print them once and end", "ko": "한 번 출력하고 종료"},
    "rollback_metrics.help.json": {"en": "the same as one JSON object", "ko": "JSON 객체 하나로 한 번 출력"},
    "rollback_metrics.help.dry_run": {
        "en": "only say what would be read and served",
        "ko": "무엇을 읽고 제공할지만 출력",
    },
    "watch.title": {"en": "=== Rollback status {at} ===", "ko": "=== 롤백 상태 {at} ==="},
    "watch.mode": {
        "en": "Mode: {type}, RQ part enabled: {enabled}, since {since} ({source}, {said_by}: {reason})",
        "ko": "모드: {type}, RQ 사용: {enabled}, 시작 {since} ({source}, {said_by}: {reason})",
    },
    "watch.no_mode": {"en": "Mode: nobody has said one yet", "ko": "모드: 아직 지정되지 않음"},
    "watch.api": {"en": "API {url}: {status} in {seconds} s", "ko": "API {url}: {status}, {seconds}초"},
    "watch.no_api": {"en": "API {url}: does not answer", "ko": "API {url}: 응답 없음"},
    "watch.no_database": {"en": "Database: cannot be read", "ko": "데이터베이스: 읽을 수 없음"},
    "watch.jobs": {
        "en": "Jobs in {backend}: {running} active, {pending} pending",
        "ko": "{backend} 작업: 실행 중 {running}, 대기 {pending}",
    },
    "watch.memory": {"en": "Memory: {processes}", "ko": "메모리: {processes}"},
    "watch.workers": {
        "en": "RQ workers: {working} alive, {standby} on standby",
        "ko": "RQ 워커: 동작 {working}, 대기 상태 {standby}",
    },
    "watch.queues": {"en": "Queues: {queues}", "ko": "큐: {queues}"},
    "watch.no_redis": {"en": "Queues: Redis does not answer", "ko": "큐: Redis 응답 없음"},
    "watch.ledger": {
        "en": "Ledger: lost {lost}, duplicated {duplicated}, unexplained {unexplained}",
        "ko": "원장: 유실 {lost}, 중복 {duplicated}, 설명 불가 {unexplained}",
    },
    "watch.no_ledger": {"en": "Ledger: could not be counted", "ko": "원장: 집계할 수 없음"},
    "watch.trigger": {
        "en": "Trigger {name}: {value} of {threshold} {unit} ({state})",
        "ko": "트리거 {name}: {value} / {threshold} {unit} ({state})",
    },
    "watch.trigger.over": {"en": "OVER", "ko": "초과"},
    "watch.trigger.advice": {"en": "advice only", "ko": "조언만"},
    "watch.trigger.dry_run": {"en": "dry run", "ko": "모의 실행"},
    "watch.trigger.armed": {"en": "armed", "ko": "작동 중"},
    "watch.trigger.idle": {"en": "not needed in this mode, or cooling down", "ko": "이 모드에서 불필요하거나 휴지 중"},
    "watch.help.about": {
        "en": "Shows the mode, jobs, memory, RQ workers, queues, ledger and triggers, again and again.",
        "ko": "모드, 작업, 메모리, RQ 워커, 큐, 원장, 트리거를 주기적으로 보여 줍니다.",
    },
    "watch.help.once": {
        "en": "look once and end: 0, or 1 where the database cannot be read",
        "ko": "한 번만 출력하고 종료 (데이터베이스를 읽을 수 없으면 종료 코드 1)",
    },
    "watch.help.interval": {"en": "seconds between two looks (10)", "ko": "출력 간격(초, 기본 10)"},
    "watch.help.json": {"en": "print a JSON object for each look", "ko": "한 번에 JSON 객체 하나씩 출력"},
    "drain_workers.none": {"en": "No worker process was found.", "ko": "워커 프로세스가 없습니다."},
    "drain_workers.no_redis": {
        "en": "Redis does not answer: workers of other hosts cannot be found or told.",
        "ko": "Redis가 응답하지 않아 다른 호스트의 워커를 찾거나 종료를 요청할 수 없습니다.",
    },
    "drain_workers.found": {"en": "would be ended: {worker}", "ko": "종료할 워커: {worker}"},
    "drain_workers.ended": {"en": "ended: {worker}", "ko": "종료됨: {worker}"},
    "drain_workers.killed": {"en": "killed: {worker}", "ko": "강제 종료됨: {worker}"},
    "drain_workers.left": {
        "en": "STILL THERE: {worker} (wait longer with --grace, or --force)",
        "ko": "남아 있음: {worker} (--grace로 더 기다리거나 --force)",
    },
    "drain_workers.help.about": {
        "en": "Ends RQ worker processes, warm first: they take nothing more, what runs goes on for their grace, then "
        "is given back at its last step. They are found by their pid files, their rows in the database and RQ's "
        "registry, and verified before any signal; those of other hosts are told over RQ. After a rollback this is not "
        "needed: workers stand by.",
        "ko": "RQ 워커를 정상 종료합니다. 새 작업을 받지 않고, 실행 중인 작업은 유예 시간 동안 계속한 뒤 마지막 "
        "단계에서 돌려줍니다. pid 파일, 데이터베이스의 행, RQ 등록 정보로 찾아 확인한 뒤에만 신호를 보내며, 다른 "
        "호스트의 워커에는 RQ로 요청합니다. 롤백 후에는 워커가 스스로 대기하므로 필요하지 않습니다.",
    },
    "drain_workers.help.exit_codes": {
        "en": "Exit codes: 0 none is left, 1 some are, 2 wrong use.",
        "ko": "종료 코드: 0 남은 워커 없음, 1 남은 워커 있음, 2 잘못된 사용.",
    },
    "drain_workers.help.grace": {
        "en": "how long to wait for their end ({seconds})",
        "ko": "종료를 기다리는 시간(초, {seconds})",
    },
    "drain_workers.help.force": {
        "en": "then kill what is left on this host; its jobs are rescued when their leases run out",
        "ko": "그 뒤에도 남은 이 호스트의 워커를 강제 종료 (작업은 임대가 끝나면 복구됨)",
    },
    "drain_workers.help.this_host": {"en": "leave workers of other hosts alone", "ko": "다른 호스트의 워커는 제외"},
    "drain_workers.help.dry_run": {"en": "only say which would be ended", "ko": "종료할 워커만 출력"},
    "drain_workers.help.json": {"en": "print one JSON object", "ko": "JSON 객체 하나로 출력"},
    "drain_workers.help.run_folder": {"en": "where the pid files are (var/run)", "ko": "pid 파일 폴더 (var/run)"},
}
