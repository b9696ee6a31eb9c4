"""Texts of the development stack and its demonstration."""

TEXTS: dict[str, dict[str, str]] = {
    "dev_stack.help": {
        "en": "Bring up the whole service on this machine: Redis, API, worker, scheduler. Ctrl+C ends all of it.",
        "ko": "이 컴퓨터에서 서비스 전체(Redis, API, 워커, 스케줄러)를 실행합니다. Ctrl+C를 누르면 모두 종료됩니다.",
    },
    "dev_stack.help_demo": {
        "en": "upload the sample documents, generate one episode through a durable worker, print it, end",
        "ko": "예제 문서를 올리고, 내구성 워커로 에피소드 하나를 생성해 출력한 뒤 종료합니다",
    },
    "dev_stack.help_language": {
        "en": "which sample documents to use (default: the terminal's language)",
        "ko": "사용할 예제 문서의 언어 (기본값: 터미널의 언어)",
    },
    "dev_stack.help_var": {
        "en": "where logs, pid files and Redis's data go (default: var)",
        "ko": "로그, pid 파일, Redis 데이터를 둘 폴더 (기본값: var)",
    },
    "dev_stack.starting": {
        "en": "Starting the stack on port {port} ...",
        "ko": "{port}번 포트에서 시작합니다 ...",
    },
    "dev_stack.ready": {
        "en": "Ready.\n  API       {url}\n  API docs  {url}/docs\n  Redis     {redis}\n  logs      var/log/*.log\n"
        "Ctrl+C ends everything.",
        "ko": "준비되었습니다.\n  API       {url}\n  API 문서  {url}/docs\n  Redis     {redis}\n"
        "  로그      var/log/*.log\n"
        "Ctrl+C를 누르면 모두 종료됩니다.",
    },
    "dev_stack.stopping": {"en": "Stopping ...", "ko": "종료하는 중입니다 ..."},
    "dev_stack.killed": {
        "en": "{name} did not end in time and was killed; its jobs go on after the next start.",
        "ko": "{name}이(가) 제때 종료되지 않아 강제로 종료했습니다. 작업은 다음에 시작할 때 이어집니다.",
    },
    "dev_stack.died": {
        "en": "{name} ended (exit code {code}); starting it again in {pause} s. See {log}.",
        "ko": "{name}이(가) 종료되었습니다(종료 코드 {code}). {pause}초 뒤에 다시 시작합니다. {log}를 보세요.",
    },
    "dev_stack.redis_started_again": {"en": "Redis was started again.", "ko": "Redis를 다시 시작했습니다."},
    "dev_stack.port_taken": {
        "en": "Port {port} is taken: end the program that listens there, or choose another with PORT=...",
        "ko": "{port}번 포트가 사용 중입니다: 그 포트를 쓰는 프로그램을 종료하거나 PORT=...로 다른 포트를 지정하세요.",
    },
    "dev_stack.runs_already": {
        "en": "A stack on port {port} is running already: end it, or choose another port with PORT=...",
        "ko": "{port}번 포트의 스택이 이미 실행 중입니다: 종료하거나 PORT=...로 다른 포트를 지정하세요.",
    },
    "dev_stack.stale_pid_files": {
        "en": "An earlier stack did not end properly; cleaned up after it: {names}.",
        "ko": "이전 스택이 정상적으로 종료되지 않아 남은 파일을 정리했습니다: {names}.",
    },
    "dev_stack.no_redis_there": {
        "en": "No Redis answers where REDIS_URL (or REDIS_HOST, REDIS_PORT) points: start it, or leave them unset to "
        "get one.",
        "ko": "REDIS_URL(또는 REDIS_HOST, REDIS_PORT)이 가리키는 Redis가 응답하지 않습니다: Redis를 시작하거나, 설정을 "
        "비워 내장 Redis를 쓰세요.",
    },
    "dev_stack.no_shared_redis": {
        "en": "The stack that runs beside this one has no Redis that answers: end it, then start again.",
        "ko": "함께 실행 중인 스택의 Redis가 응답하지 않습니다: 그 스택을 종료한 뒤 다시 시작하세요.",
    },
    "dev_stack.did_not_start": {
        "en": "{name} did not start: {words} (its log is {log})",
        "ko": "{name}을(를) 시작하지 못했습니다: {words} (로그: {log})",
    },
    "dev_stack.demo_uploading": {
        "en": "Uploading the sample documents to project {project} ...",
        "ko": "예제 문서를 프로젝트 {project}에 올립니다 ...",
    },
    "dev_stack.demo_generating": {
        "en": "Generating one episode through a durable worker ...",
        "ko": "내구성 워커로 에피소드 하나를 생성합니다 ...",
    },
    "dev_stack.demo_uploaded": {
        "en": "Project {project} has the sample documents already.",
        "ko": "프로젝트 {project}에 예제 문서가 이미 있습니다.",
    },
    "dev_stack.demo_not_durable": {
        "en": "This service was switched to in-process mode, so the demo cannot show a durable worker: use an empty "
        "database, such as DATABASE_URL=sqlite:///var/demo.db.",
        "ko": "서비스가 인프로세스 모드로 전환되어 있어 내구성 워커를 보여 줄 수 없습니다: 빈 데이터베이스를 쓰세요"
        "(예: DATABASE_URL=sqlite:///var/demo.db).",
    },
    "dev_stack.demo_no_answer": {
        "en": "The API did not answer as it should ({why}): see var/log/api.log.",
        "ko": "API가 제대로 응답하지 않았습니다({why}): var/log/api.log를 보세요.",
    },
    "dev_stack.demo_too_long": {
        "en": "The demo took too long and was stopped: see var/log/*.log.",
        "ko": "데모가 너무 오래 걸려 중단했습니다: var/log/*.log를 보세요.",
    },
}
