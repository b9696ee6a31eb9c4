"""Texts about settings: the line that names a wrong one, and what it would have taken."""


def _takes(code: str, en: str, ko: str) -> dict[str, dict[str, str]]:
    return {f"setting.takes.{code}": {"en": en, "ko": ko}}


TEXTS: dict[str, dict[str, str]] = {
    "setting.line": {"en": "{name}: got {got}; {takes}", "ko": "{name}: 받은 값 {got}. {takes}"},
    "setting.hidden": {"en": "a value that is not shown", "ko": "(표시하지 않음)"},
    "setting.public_host": {
        "en": "HOST={host} is a public address: set API_TOKENS, or HOST=127.0.0.1",
        "ko": "HOST={host}은(는) 공개 주소입니다. API_TOKENS를 설정하거나 HOST=127.0.0.1로 설정하세요",
    },
    "setting.storage_folder": {
        "en": "STORAGE_URL: the folder {path} cannot be created or opened",
        "ko": "STORAGE_URL: {path} 폴더를 만들거나 열 수 없습니다",
    },
    "setting.storage_s3": {
        "en": "STORAGE_URL: takes s3://bucket/prefix, with S3_ENDPOINT_URL a URL",
        "ko": "STORAGE_URL: s3://bucket/prefix여야 하며 S3_ENDPOINT_URL은 URL이어야 합니다",
    },
    "setting.schema_older": {
        "en": "the database schema is at {found}, this version needs {needed}: run generation-service migrate",
        "ko": "데이터베이스 스키마는 {found}인데 이 버전의 서비스에는 {needed}이(가) 필요합니다. "
        "generation-service migrate를 실행하세요",
    },
    "setting.schema_unknown": {
        "en": "the database schema is at {found}, which this version ({needed}) does not know: "
        "run the newer version of the service, or restore a backup",
        "ko": "데이터베이스 스키마({found})를 이 버전({needed})의 서비스가 알지 못합니다. "
        "더 새로운 버전을 실행하거나 백업을 복원하세요",
    },
    "setting.schema_none": {"en": "no version", "ko": "버전 없음"},
    **_takes(
        "api_tokens",
        'takes a JSON object of tokens and user ids, such as {{"s3cret": "ana"}}',
        '토큰과 사용자 ID를 짝지은 JSON 객체여야 합니다. 예: {{"s3cret": "ana"}}',
    ),
    **_takes(
        "time_zone", "takes the name of a time zone, such as Asia/Seoul", "시간대 이름이어야 합니다. 예: Asia/Seoul"
    ),
    **_takes(
        "database_url",
        "takes a URL that begins with sqlite:/// or postgresql:// "
        "(of drivers it takes only sqlite+pysqlite and postgresql+psycopg, and needs none)",
        "sqlite:/// 또는 postgresql://로 시작하는 URL이어야 합니다"
        "(드라이버는 sqlite+pysqlite와 postgresql+psycopg만 받으며, 쓰지 않아도 됩니다)",
    ),
    **_takes(
        "redis_url",
        "takes a URL such as redis://localhost:6379/5, rediss://..., unix:///path?db=5 "
        "or redis+sentinel://host:26379,host:26379/service/5",
        "redis://localhost:6379/5, rediss://..., unix:///path?db=5, "
        "redis+sentinel://host:26379,host:26379/service/5 같은 URL이어야 합니다",
    ),
    **_takes(
        "storage_url",
        "takes a path, file:///absolute/path or s3://bucket/prefix",
        "경로, file:///절대/경로 또는 s3://bucket/prefix여야 합니다",
    ),
    **_takes(
        "web_url",
        "takes a URL that begins with http:// or https://",
        "http:// 또는 https://로 시작하는 URL이어야 합니다",
    ),
    **_takes(
        "host",
        "takes the name or the address of a host, such as 127.0.0.1",
        "호스트의 이름이나 주소여야 합니다. 예: 127.0.0.1",
    ),
    **_takes(
        "command",
        "takes a command as a shell does: each quote must be closed",
        "셸에서 쓰는 명령이어야 합니다. 따옴표를 모두 닫아 주세요",
    ),
    **_takes(
        "delays",
        "takes seconds, separated by commas, such as 60,300,900,3600",
        "쉼표로 구분한 초 단위의 수여야 합니다. 예: 60,300,900,3600",
    ),
    **_takes(
        "cron",
        "takes a cron expression of five fields, such as 0 3 * * *",
        "필드가 다섯 개인 cron 표현식이어야 합니다. 예: 0 3 * * *",
    ),
    **_takes(
        "model_server",
        "LLM_PROVIDER=openai needs LLM_BASE_URL and LLM_MODEL",
        "LLM_PROVIDER=openai에는 LLM_BASE_URL과 LLM_MODEL이 필요합니다",
    ),
    **_takes(
        "embedding_pair",
        "EMBEDDING_BASE_URL and EMBEDDING_MODEL belong together: set both, or neither",
        "EMBEDDING_BASE_URL과 EMBEDDING_MODEL은 둘 다 설정하거나 둘 다 비워야 합니다",
    ),
    **_takes(
        "search_server",
        "SEARCH_PROVIDER=searxng needs SEARCH_BASE_URL",
        "SEARCH_PROVIDER=searxng에는 SEARCH_BASE_URL이 필요합니다",
    ),
}
