"""Texts of the command line: progress, results, and what stops a command."""

from generation_service.texts import terminal_help, terminal_index, terminal_programs

_SERVE: dict[str, dict[str, str]] = {
    "serve.ready": {
        "en": "API ready at {url} (documentation: {url}/docs)",
        "ko": "API 준비 완료: {url} (문서: {url}/docs)",
    },
    "serve.did_not_start": {
        "en": "The API did not start: its process ended before it was ready. The lines above say why.",
        "ko": "API가 시작되지 않았습니다. 준비가 끝나기 전에 프로세스가 종료되었습니다. 이유는 위에 나와 있습니다.",
    },
    "serve.public_without_tokens": {
        "en": "HOST: {host} can be reached from other machines, so API_TOKENS must be set (a JSON object of tokens and "
        "user ids); or listen on 127.0.0.1.",
        "ko": "HOST: {host}은(는) 다른 컴퓨터에서 접근할 수 있으므로 API_TOKENS(토큰과 사용자 id의 JSON 객체)를 "
        "설정하거나 127.0.0.1에서 수신하세요.",
    },
    "serve.port_taken": {
        "en": "PORT: {port} on {host} is taken. Stop what listens there, or choose another with --port or PORT.",
        "ko": "PORT: {host}의 {port} 포트가 이미 사용 중입니다. 그 프로그램을 종료하거나 --port 또는 PORT로 다른 "
        "포트를 지정하세요.",
    },
    "serve.port_not_allowed": {
        "en": "PORT: {port} may not be used by this account; choose one from 1024 up.",
        "ko": "PORT: 이 계정은 {port} 포트를 쓸 수 없습니다. 1024 이상을 지정하세요.",
    },
    "serve.no_such_address": {
        "en": "HOST: {host} is not an address of this machine; use 127.0.0.1, or one of its own.",
        "ko": "HOST: {host}은(는) 이 컴퓨터의 주소가 아닙니다. 127.0.0.1이나 이 컴퓨터의 주소를 쓰세요.",
    },
    "database.bad_url": {
        "en": "DATABASE_URL: takes a URL such as sqlite:///var/generation.db or postgresql://user@host/database",
        "ko": "DATABASE_URL: sqlite:///var/generation.db 또는 postgresql://user@host/database 같은 URL을 쓰세요.",
    },
    "database.unreachable": {
        "en": "DATABASE_URL: the database does not answer. Start it, or correct its host, port, name and account.",
        "ko": "DATABASE_URL: 데이터베이스가 응답하지 않습니다. 데이터베이스를 시작하거나 호스트, 포트, 이름, 계정을 "
        "확인하세요.",
    },
    "database.no_file": {
        "en": "DATABASE_URL: {path} cannot be used ({reason})",
        "ko": "DATABASE_URL: {path}을(를) 쓸 수 없습니다({reason}).",
    },
    "worker.disabled": {
        "en": "WORKER_SYSTEM_ENABLED is false: no RQ part is used, so there is nothing for a worker to do.",
        "ko": "WORKER_SYSTEM_ENABLED가 false입니다. RQ를 쓰지 않으므로 워커가 할 일이 없습니다.",
    },
    "worker.unknown_queue": {
        "en": "Unknown queue; there are: {queues}.",
        "ko": "없는 큐입니다. 사용할 수 있는 큐: {queues}.",
    },
    "worker.listening": {
        "en": "Worker ready: up to {concurrency} jobs at once from {queues}.",
        "ko": "워커 준비 완료: {queues}에서 한 번에 {concurrency}개까지 실행합니다.",
    },
    "standby.begins": {
        "en": "The RQ part is switched off: standing by, without Redis, until it is switched on again.",
        "ko": "RQ 부분이 꺼져 있습니다. 다시 켜질 때까지 Redis 연결 없이 기다립니다.",
    },
    "standby.not_wanted": {
        "en": "The RQ part is switched off: there is nothing to do.",
        "ko": "RQ 부분이 꺼져 있어 할 일이 없습니다.",
    },
    "scheduler.ticking": {"en": "Scheduler ready.", "ko": "스케줄러 준비 완료."},
    "scheduler.disabled": {
        "en": "WORKER_SYSTEM_ENABLED is false: schedules are ticked in-process, by the API.",
        "ko": "WORKER_SYSTEM_ENABLED가 false입니다. 일정은 API 프로세스가 직접 실행합니다.",
    },
    "migrate.one_of": {
        "en": "--current and --down exclude each other.",
        "ko": "--current와 --down은 함께 쓸 수 없습니다.",
    },
    "migrate.confirm": {
        "en": "Taking {count} migration(s) back deletes what their tables hold. Go on?",
        "ko": "마이그레이션 {count}개를 되돌리면 그 테이블의 데이터가 지워집니다. 계속할까요?",
    },
    "migrate.impossible": {
        "en": "the schema cannot be changed like that: {reason}",
        "ko": "스키마를 그렇게 바꿀 수 없습니다: {reason}",
    },
    "migrate.empty": {"en": "no version", "ko": "버전 없음"},
    "migrate.current": {
        "en": "The database schema is at {before}; this version needs {needed}.",
        "ko": "데이터베이스 스키마: {before}. 이 버전에 필요한 것: {needed}.",
    },
    "migrate.unchanged": {
        "en": "The database schema is at {after} already; nothing was changed.",
        "ko": "데이터베이스 스키마는 이미 {after}입니다. 바꾼 것은 없습니다.",
    },
    "migrate.changed": {
        "en": "The database schema went from {before} to {after}.",
        "ko": "데이터베이스 스키마를 {before}에서 {after}(으)로 바꾸었습니다.",
    },
}

_CLIENT: dict[str, dict[str, str]] = {
    "client.bad_url": {
        "en": "API_URL: {url} is not a URL that can be asked; it takes one such as http://127.0.0.1:8002",
        "ko": "API_URL: {url}은(는) 쓸 수 없는 URL입니다. http://127.0.0.1:8002 같은 값을 쓰세요.",
    },
    "client.unreachable": {
        "en": "The API at {url} does not answer ({reason}). Start it with generation-service serve, or set API_URL.",
        "ko": "{url}의 API가 응답하지 않습니다({reason}). generation-service serve로 시작하거나 API_URL을 설정하세요.",
    },
    "client.timed_out": {"en": "timed out", "ko": "시간 초과"},
    "client.no_details": {
        "en": "The API answered {status} and nothing more.",
        "ko": "API가 상태 코드 {status}만 돌려주었습니다.",
    },
    "generate.needs_project": {"en": "Name the project: --project ID.", "ko": "프로젝트를 지정하세요: --project ID."},
    "generate.needs_title": {"en": "Give it a title: --title TEXT.", "ko": "제목을 지정하세요: --title TEXT."},
    "generate.bad_input": {
        "en": "--input must be a file that holds one JSON object.",
        "ko": "--input에는 JSON 객체 하나가 담긴 파일을 지정하세요.",
    },
    "generate.docx_needs_output": {
        "en": "--format docx is not text: say where to save it with --output FILE.",
        "ko": "docx는 화면에 출력할 수 없는 형식입니다. --output FILE로 저장할 파일을 지정하세요.",
    },
    "generate.accepted": {
        "en": "Accepted: {job_id}. Follow it with: generation-service generate --follow {job_id}",
        "ko": "접수되었습니다: {job_id}. 지켜보기: generation-service generate --follow {job_id}",
    },
    "generate.goes_on": {
        "en": "The job goes on. Follow it again with: generation-service generate --follow {job_id}",
        "ko": "작업은 계속됩니다. 다시 지켜보기: generation-service generate --follow {job_id}",
    },
    "generate.failed": {"en": "The job {job_id} failed. {reason}", "ko": "작업 {job_id}이(가) 실패했습니다. {reason}"},
    "generate.cancelled": {"en": "The job was cancelled ({job_id}).", "ko": "작업이 취소되었습니다({job_id})."},
    "generate.saved_episode": {
        "en": "Saved as episode {number} of {project}: {url}",
        "ko": "{project} {number}화로 저장되었습니다: {url}",
    },
    "generate.saved_file": {"en": "Saved in {path}", "ko": "파일로 저장되었습니다: {path}"},
    "documents.sending": {"en": "Uploading", "ko": "올리는 중"},
    "documents.reading": {"en": "Reading", "ko": "읽는 중"},
    "documents.file": {"en": "File", "ko": "파일"},
    "documents.status": {"en": "Status", "ko": "상태"},
    "documents.code": {"en": "Code", "ko": "코드"},
    "documents.document": {"en": "Document", "ko": "문서"},
    "documents.too_long": {
        "en": "It is still being read; its status page says when it is done.",
        "ko": "아직 읽는 중입니다. 다 읽으면 문서 상태에 표시됩니다.",
    },
}

_STATES: dict[str, dict[str, str]] = {
    "status.pending": {"en": "pending", "ko": "대기"},
    "status.running": {"en": "running", "ko": "실행 중"},
    "status.completed": {"en": "completed", "ko": "완료"},
    "status.failed": {"en": "failed", "ko": "실패"},
    "status.cancelled": {"en": "cancelled", "ko": "취소"},
    "status.skipped": {"en": "skipped", "ko": "건너뜀"},
    "document.pending": {"en": "pending", "ko": "대기"},
    "document.processing": {"en": "being read", "ko": "읽는 중"},
    "document.completed": {"en": "completed", "ko": "완료"},
    "document.failed": {"en": "failed", "ko": "실패"},
    "progress.attempt": {"en": "attempt {attempt}", "ko": "{attempt}번째 시도"},
    "progress.job": {"en": "job: {status}", "ko": "작업: {status}"},
    "progress.retry": {
        "en": "attempt {attempt} follows in {seconds} s",
        "ko": "{seconds}초 뒤 {attempt}번째 시도",
    },
    "progress.switched": {"en": "moved to {backend}", "ko": "{backend}(으)로 옮겨졌습니다"},
    "step.snapshot": {"en": "the request, the project, earlier episodes", "ko": "요청, 프로젝트, 이전 회차"},
    "step.doc_ingest": {"en": "documents that are not ready yet", "ko": "아직 읽지 않은 문서"},
    "step.external": {"en": "search outside", "ko": "외부 검색"},
    "step.context": {"en": "passages that matter", "ko": "관련 구절"},
    "step.signal": {"en": "what the passages say, with sources", "ko": "구절의 내용과 출처"},
    "step.validation": {"en": "duplicates, unknown names, missing sources", "ko": "중복, 모르는 이름, 없는 출처"},
    "step.index": {"en": "what was learned, for later", "ko": "알아낸 내용을 색인에 추가"},
    "step.insight": {"en": "the text itself", "ko": "본문"},
}

_OVERVIEW: dict[str, dict[str, str]] = {
    "status.no_tables": {
        "en": "the database has no tables yet: start the service, or run generation-service migrate",
        "ko": "데이터베이스에 아직 테이블이 없습니다. 서비스를 시작하거나 generation-service migrate를 실행하세요.",
    },
    "overview.no_mode": {"en": "Mode: nothing has been said yet.", "ko": "모드: 아직 정해지지 않았습니다."},
    "overview.mode": {
        "en": "Mode: {type} since {since} ({source}: {reason})",
        "ko": "모드: {type}, {since}부터 ({source}: {reason})",
    },
    "overview.oldest": {"en": "Longest wait: {seconds} s", "ko": "가장 오래 기다린 시간: {seconds}초"},
    "overview.no_redis": {
        "en": "Redis does not answer ({error}): jobs are accepted all the same and delivered when it is back.",
        "ko": "Redis가 응답하지 않습니다({error}). 작업은 그대로 접수되고, 복구되면 전달됩니다.",
    },
    "overview.suspended": {
        "en": "RQ is suspended: workers take nothing new.",
        "ko": "RQ가 중지 상태입니다. 워커가 새 작업을 가져가지 않습니다.",
    },
    "overview.backend": {"en": "backend", "ko": "백엔드"},
    "overview.running": {"en": "running", "ko": "실행 중"},
    "overview.queues": {"en": "Queues in Redis", "ko": "Redis의 큐"},
    "overview.workers": {"en": "Workers", "ko": "워커"},
    "overview.none.running": {"en": "No job is running.", "ko": "실행 중인 작업이 없습니다."},
    "overview.none.queues": {"en": "No queues.", "ko": "큐가 없습니다."},
    "overview.none.workers": {"en": "No worker is registered.", "ko": "등록된 워커가 없습니다."},
    "overview.job_id": {"en": "job", "ko": "작업"},
    "overview.progress": {"en": "%", "ko": "%"},
    "overview.running_seconds": {"en": "seconds", "ko": "초"},
    "overview.holder": {"en": "held by", "ko": "실행 주체"},
    "overview.queue": {"en": "queue", "ko": "큐"},
    "overview.waiting": {"en": "waiting", "ko": "대기"},
    "overview.popped": {"en": "popped", "ko": "꺼냄"},
    "overview.name": {"en": "name", "ko": "이름"},
    "overview.state": {"en": "state", "ko": "상태"},
    "overview.succeeded": {"en": "succeeded", "ko": "성공"},
    "overview.failed": {"en": "failed", "ko": "실패"},
    "overview.last_heartbeat": {"en": "last heartbeat", "ko": "마지막 신호"},
}

_CHECK: dict[str, dict[str, str]] = {
    "check.name.settings": {"en": "settings", "ko": "설정"},
    "check.name.mode": {"en": "mode", "ko": "모드"},
    "check.name.address": {"en": "address", "ko": "주소"},
    "check.name.database": {"en": "database", "ko": "데이터베이스"},
    "check.name.redis": {"en": "Redis", "ko": "Redis"},
    "check.name.storage": {"en": "storage", "ko": "저장소"},
    "check.name.provider": {"en": "model provider", "ko": "모델 공급자"},
    "check.name.search": {"en": "search", "ko": "검색"},
    "check.settings": {"en": "every variable holds", "ko": "모든 변수가 올바릅니다"},
    "check.mode.rq": {"en": "the environment says: jobs go to RQ", "ko": "환경 설정: 작업을 RQ로 보냅니다"},
    "check.mode.in_process": {
        "en": "the environment says: jobs run in-process",
        "ko": "환경 설정: 작업을 API 프로세스에서 실행합니다",
    },
    "check.mode.disabled": {
        "en": "the environment says: WORKER_SYSTEM_ENABLED=false, jobs run in-process whatever the flag says",
        "ko": "환경 설정: WORKER_SYSTEM_ENABLED=false, 작업을 항상 API 프로세스에서 실행합니다",
    },
    "check.address.loopback": {
        "en": "{host}:{port}, reachable from this machine only; no token is asked for",
        "ko": "{host}:{port}, 이 컴퓨터에서만 접근 가능, 토큰 없음",
    },
    "check.address.tokens": {"en": "{host}:{port}, for {count} token(s)", "ko": "{host}:{port}, 토큰 {count}개"},
    "check.database.absent": {
        "en": "{path} does not exist yet and would be made at the first start",
        "ko": "{path}이(가) 아직 없으며 처음 시작할 때 만들어집니다",
    },
    "check.database.empty": {
        "en": "reachable, without tables; the first start would make schema {needed}",
        "ko": "연결됨, 테이블 없음. 처음 시작할 때 스키마 {needed}를 만듭니다",
    },
    "check.database.other": {
        "en": "its schema is {found}, this version needs {needed}: generation-service migrate",
        "ko": "스키마가 {found}인데 이 버전에는 {needed}가 필요합니다: generation-service migrate",
    },
    "check.database.ready": {"en": "reachable, schema {found}.", "ko": "연결됨, 스키마 {found}."},
    "check.database.mode": {
        "en": "In force there: {type} ({source}, since {since}).",
        "ko": "현재 모드: {type} ({source}, {since}부터).",
    },
    "check.redis.ready": {"en": "reachable, evicts nothing", "ko": "연결됨, 데이터를 버리지 않음"},
    "check.redis.evicts": {
        "en": "reachable, but maxmemory-policy is {policy}: a Redis that carries queues wants noeviction",
        "ko": "연결됨. 그러나 maxmemory-policy가 {policy}입니다. 큐를 담는 Redis에는 noeviction이 필요합니다",
    },
    "check.redis.away": {
        "en": "does not answer ({error}): jobs would be accepted and wait until it does",
        "ko": "응답하지 않습니다({error}). 작업은 접수되지만 복구될 때까지 기다립니다",
    },
    "check.redis.not_needed": {
        "en": "does not answer ({error}); in-process mode does not need it",
        "ko": "응답하지 않습니다({error}). 인프로세스 모드에는 필요하지 않습니다",
    },
    "check.storage.folder": {"en": "{path}, writable", "ko": "{path}, 쓸 수 있음"},
    "check.storage.s3": {"en": "bucket {bucket}; not looked into", "ko": "버킷 {bucket}, 접속해 보지는 않았습니다"},
    "check.not_writable": {
        "en": "{path} cannot be written by this account",
        "ko": "이 계정은 {path}에 쓸 수 없습니다",
    },
    "check.provider.offline": {
        "en": "offline: a deterministic drafter, not a language model; every output says so",
        "ko": "offline: 언어 모델이 아닌 결정적 초안 작성기. 모든 결과에 그 사실이 표시됩니다",
    },
    "check.provider.named": {"en": "{name}: {model} at {url}.", "ko": "{name}: {url}의 {model}."},
    "check.provider.no_key": {"en": "LLM_API_KEY is unset.", "ko": "LLM_API_KEY가 설정되지 않았습니다."},
    "check.search.none": {
        "en": "none: the step external is skipped, and says so",
        "ko": "none: external 단계를 건너뛰고 그 사실을 표시합니다",
    },
    "check.search.named": {"en": "{name} at {url}", "ko": "{name}: {url}"},
}

TEXTS: dict[str, dict[str, str]] = {
    **terminal_help.TEXTS,
    **terminal_programs.TEXTS,
    **terminal_index.TEXTS,
    **{
        f"terminal.{name}": texts
        for part in (_SERVE, _CLIENT, _STATES, _OVERVIEW, _CHECK)
        for name, texts in part.items()
    },
}
