"""Texts of `--help`."""

_HELP: dict[str, dict[str, str]] = {
    "": {
        "en": "Long, document-grounded generation that survives anything.",
        "ko": "문서를 근거로 긴 글을 생성합니다. 어떤 프로세스가 죽어도 작업은 이어집니다.",
    },
    ".exit_codes": {
        "en": "Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted. "
        "Configuration comes from the environment and from .env in the working directory; see .env.example.",
        "ko": "종료 코드: 0 완료, 1 실패, 2 잘못된 사용 또는 설정, 130 중단. "
        "설정은 환경 변수와 작업 폴더의 .env에서 읽습니다. .env.example을 보세요.",
    },
    ".version": {"en": "Print the version and exit.", "ko": "버전을 출력하고 종료합니다."},
    ".json": {"en": "Print JSON for programs.", "ko": "프로그램이 읽을 수 있도록 JSON으로 출력합니다."},
    ".yes": {"en": "Do not ask.", "ko": "묻지 않고 진행합니다."},
    ".project": {"en": "The project's id.", "ko": "프로젝트 id."},
    ".serve": {
        "en": "Serve the API. SIGHUP replaces its processes without closing the port; a fresh process reads .env "
        "anew, while the environment stays the one this command was started with.",
        "ko": "API를 제공합니다. SIGHUP을 받으면 포트를 닫지 않고 프로세스를 교체합니다. 새 프로세스는 .env를 다시 "
        "읽지만 환경 변수는 이 명령을 시작할 때의 것입니다.",
    },
    ".serve.host": {"en": "Address to listen on [default: HOST].", "ko": "수신할 주소 [기본값: HOST]."},
    ".serve.port": {"en": "Port, 0 for any free one [default: PORT].", "ko": "포트, 0이면 빈 포트 [기본값: PORT]."},
    ".serve.workers": {"en": "API processes.", "ko": "API 프로세스 수."},
    ".worker": {
        "en": "Run jobs from RQ, many at once in this process. SIGTERM lets them go on for a while, then gives them "
        "back at their last step. While an operator has switched the RQ part off it stands by, without Redis, and "
        "comes back by itself. With WORKER_SYSTEM_ENABLED=false it says so and exits 0.",
        "ko": "RQ의 작업을 한 프로세스에서 여러 개씩 실행합니다. SIGTERM을 받으면 잠시 더 실행한 뒤, 남은 작업을 "
        "마지막으로 저장된 단계에서 반납합니다. 운영자가 RQ 부분을 끈 동안에는 Redis 연결 없이 기다리다가 다시 켜지면 "
        "스스로 돌아옵니다. WORKER_SYSTEM_ENABLED=false이면 그 사실을 알리고 0으로 종료합니다.",
    },
    ".worker.queues": {
        "en": "Queues, most urgent first, separated by commas [default: all].",
        "ko": "쉼표로 나눈 큐 이름, 급한 것부터 [기본값: 모두].",
    },
    ".worker.concurrency": {
        "en": "Jobs at once [default: WORKER_CONCURRENCY].",
        "ko": "동시에 실행할 작업 수 [기본값: WORKER_CONCURRENCY].",
    },
    ".worker.burst": {"en": "End when the queues are empty.", "ko": "큐가 비면 종료합니다."},
    ".worker.fork": {
        "en": "Run each job in a process of its own, forked from one that has everything loaded: for documents and "
        "recipes that are not trusted. Slower, and each job takes its own memory.",
        "ko": "작업마다 모든 것을 미리 불러온 프로세스에서 갈라져 나온 별도 프로세스로 실행합니다. "
        "신뢰할 수 없는 문서와 레시피를 위한 것으로, 더 느리고 작업마다 메모리를 따로 씁니다.",
    },
    ".scheduler": {
        "en": "Tick schedules in durable mode, by rq-scheduler. Several may run; each firing happens once. It stands "
        "by while the RQ part is switched off.",
        "ko": "내구성 모드에서 rq-scheduler로 일정을 실행합니다. 여러 개를 띄워도 각 일정은 한 번만 실행됩니다. RQ "
        "부분이 꺼져 있는 동안에는 기다립니다.",
    },
    ".migrate": {
        "en": "Bring the database's schema to this version.",
        "ko": "데이터베이스 스키마를 이 버전에 맞춥니다.",
    },
    ".migrate.current": {"en": "Only say which version it has.", "ko": "지금 버전만 알려 줍니다."},
    ".migrate.down": {
        "en": "Take N migrations back, with what they hold.",
        "ko": "마이그레이션 N개를 그 데이터와 함께 되돌립니다.",
    },
    ".generate": {
        "en": "Submit a generation, follow it, print the text.",
        "ko": "생성을 요청하고 진행을 보여 준 뒤 글을 출력합니다.",
    },
    ".generate.more": {
        "en": "Talks to API_URL (or HOST and PORT) with API_TOKEN. Ctrl+C stops following, not the job: "
        "--follow JOB_ID takes it up again.",
        "ko": "API_URL(또는 HOST와 PORT)에 API_TOKEN으로 요청합니다. Ctrl+C를 눌러도 작업은 계속되며 "
        "--follow JOB_ID로 다시 지켜볼 수 있습니다.",
    },
    ".generate.title": {"en": "Title of what is generated.", "ko": "생성할 글의 제목."},
    ".generate.recipe": {"en": "script (default), risk_report or your own.", "ko": "script(기본값), risk_report 등."},
    ".generate.synopsis": {"en": "What it is about.", "ko": "줄거리."},
    ".generate.instructions": {"en": "What else the writer must know.", "ko": "추가 지시."},
    ".generate.language": {"en": "Language of the text.", "ko": "글의 언어."},
    ".generate.corp": {"en": "Company of a risk_report.", "ko": "risk_report의 회사 id."},
    ".generate.input": {
        "en": "A request body of POST /api/generation; other options go before it. - reads standard input.",
        "ko": "POST /api/generation의 요청 본문. 다른 옵션이 우선합니다. -는 표준 입력입니다.",
    },
    ".generate.priority": {"en": "How urgent it is.", "ko": "우선순위."},
    ".generate.key": {
        "en": "Idempotency-Key: the same key and request make one job [default: a fresh one].",
        "ko": "Idempotency-Key. 같은 키와 요청은 작업 하나가 됩니다 [기본값: 새 키].",
    },
    ".generate.follow": {
        "en": "Follow a job that was submitted before, and print its text.",
        "ko": "앞서 요청한 작업을 지켜보고 글을 출력합니다.",
    },
    ".generate.no_follow": {"en": "Only submit.", "ko": "요청만 합니다."},
    ".generate.format": {"en": "Format of the text.", "ko": "글의 형식."},
    ".generate.output": {"en": "Save the text in this file too.", "ko": "글을 이 파일에도 저장합니다."},
    ".documents": {"en": "Documents that generations are grounded on.", "ko": "생성의 근거가 되는 문서."},
    ".documents.upload": {
        "en": "Upload files, and folders with all their files.",
        "ko": "파일을 올립니다. 폴더를 지정하면 그 안의 모든 파일을 올립니다.",
    },
    ".documents.wait": {"en": "Wait until each has been read.", "ko": "모두 읽을 때까지 기다립니다."},
    ".status": {
        "en": "Jobs, queues and workers of both backends, from the database and Redis: works with the API down.",
        "ko": "두 백엔드의 작업, 큐, 워커. 데이터베이스와 Redis에서 직접 읽으므로 API가 꺼져 있어도 됩니다.",
    },
    ".status.watch": {"en": "Go on until Ctrl+C.", "ko": "Ctrl+C를 누를 때까지 계속 보여 줍니다."},
    ".status.every": {"en": "Seconds between two looks.", "ko": "새로 고침 간격(초)."},
    ".check": {
        "en": "Check the configuration and say what it would do; nothing is changed.",
        "ko": "설정을 검사하고 어떻게 동작할지 알려 줍니다. 아무것도 바꾸지 않습니다.",
    },
}

TEXTS: dict[str, dict[str, str]] = {f"terminal.help{name}": texts for name, texts in _HELP.items()}
