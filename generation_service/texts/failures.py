"""Texts about why a job or a step failed, and why a step was skipped."""

_OPERATOR = (
    "Tell the operator, and retry the job once that is mended.",
    "운영자에게 알리고, 해결되면 다시 시도해 주세요.",
)
_LATER = ("Retry the job later.", "잠시 뒤에 다시 시도해 주세요.")


def _failures(said: dict[str, tuple[str, str]], then: tuple[str, str]) -> dict[str, dict[str, str]]:
    """What went wrong, by its code, each followed by what to do."""
    return {
        f"job.failure.{code}": {"en": f"{en} {then[0]}".strip(), "ko": f"{ko} {then[1]}".strip()}
        for code, (en, ko) in said.items()
    }


_PASSING = {
    "provider_unavailable": (
        "The model's server answered that it cannot serve the call now.",
        "모델 서버가 지금은 요청을 처리할 수 없다고 응답했습니다.",
    ),
    "provider_rate_limited": ("The model's server takes no more calls now.", "모델 서버의 호출 한도에 도달했습니다."),
    "provider_timeout": ("The model's server did not answer in time.", "모델 서버가 제시간에 응답하지 않았습니다."),
    "provider_unreachable": ("The model's server could not be reached.", "모델 서버에 연결하지 못했습니다."),
    "provider_broken_stream": (
        "The answer of the model's server broke off or could not be read.",
        "모델 서버의 응답이 끊겼거나 읽을 수 없었습니다.",
    ),
    "provider_empty": ("The model answered without a word.", "모델이 빈 응답을 보냈습니다."),
    "embedding_unavailable": (
        "The embedding server answered that it cannot serve the call now.",
        "임베딩 서버가 지금은 요청을 처리할 수 없다고 응답했습니다.",
    ),
    "embedding_rate_limited": (
        "The embedding server takes no more calls now.",
        "임베딩 서버의 호출 한도에 도달했습니다.",
    ),
    "embedding_timeout": (
        "The embedding server did not answer in time.",
        "임베딩 서버가 제시간에 응답하지 않았습니다.",
    ),
    "embedding_unreachable": ("The embedding server could not be reached.", "임베딩 서버에 연결하지 못했습니다."),
    "embedding_unreadable": (
        "The embedding server's answer could not be read.",
        "임베딩 서버의 응답을 읽을 수 없었습니다.",
    ),
    "reader_starved": ("The machine was too busy to read a document.", "서버가 너무 바빠 문서를 읽지 못했습니다."),
    "reader_busy": (
        "Too many scanned documents were waiting to be read.",
        "처리를 기다리는 스캔 문서가 너무 많았습니다.",
    ),
    "reader_killed": (
        "The program that reads documents was ended from outside.",
        "문서를 읽는 프로그램이 외부에서 종료되었습니다.",
    ),
    "reader_failed": ("The program that reads documents failed.", "문서를 읽는 프로그램에서 오류가 발생했습니다."),
    "storage_unavailable": ("The file storage did not answer.", "파일 저장소가 응답하지 않았습니다."),
    "database_unavailable": ("The database did not answer.", "데이터베이스가 응답하지 않았습니다."),
}
_MENDED_BY_AN_OPERATOR = {
    "provider_unauthorized": (
        "The model's server refused the service's key (LLM_API_KEY).",
        "모델 서버가 서비스의 키(LLM_API_KEY)를 거부했습니다.",
    ),
    "provider_forbidden": ("The model's server does not allow this call.", "모델 서버가 이 호출을 허용하지 않습니다."),
    "provider_not_found": (
        "The model's server does not know LLM_MODEL, or LLM_BASE_URL is wrong.",
        "LLM_MODEL에 지정한 모델이 모델 서버에 없거나 LLM_BASE_URL이 잘못되었습니다.",
    ),
    "provider_bad_request": (
        "The model's server refused the request as malformed.",
        "모델 서버가 형식이 잘못되었다며 요청을 거부했습니다.",
    ),
    "provider_quota": (
        "The account at the model's server has no quota left.",
        "모델 서버 계정의 사용 한도를 모두 썼습니다.",
    ),
    "embedding_unauthorized": (
        "The embedding server refused the service's key (EMBEDDING_API_KEY).",
        "임베딩 서버가 서비스의 키(EMBEDDING_API_KEY)를 거부했습니다.",
    ),
    "embedding_forbidden": (
        "The embedding server does not allow this call.",
        "임베딩 서버가 이 호출을 허용하지 않습니다.",
    ),
    "embedding_not_found": (
        "The embedding server does not know EMBEDDING_MODEL, or EMBEDDING_BASE_URL is wrong.",
        "EMBEDDING_MODEL에 지정한 모델이 임베딩 서버에 없거나 EMBEDDING_BASE_URL이 잘못되었습니다.",
    ),
    "embedding_bad_request": (
        "The embedding server refused the request as malformed.",
        "임베딩 서버가 형식이 잘못되었다며 요청을 거부했습니다.",
    ),
    "embedding_dimension": (
        "The embedding model's vectors do not fit those of the index.",
        "임베딩 모델의 벡터가 색인의 벡터와 맞지 않습니다.",
    ),
    "storage_refused": (
        "The file storage refuses the service's credentials.",
        "파일 저장소가 서비스의 인증 정보를 거부했습니다.",
    ),
    "search_needs_model": (
        "SEARCH_PROVIDER=model needs a language model that searches.",
        "SEARCH_PROVIDER=model에는 검색할 수 있는 언어 모델이 필요합니다.",
    ),
    "internal_error": (
        "Something of the service itself failed; the log says what.",
        "서비스 내부에서 문제가 생겼습니다. 자세한 내용은 로그에 있습니다.",
    ),
}
_MENDED_BY_THE_CALLER = {
    "content_policy": (
        "The model refused the content by its policy. Change what is asked for, and submit it anew.",
        "모델이 정책에 따라 이 내용을 거부했습니다. 요청 내용을 바꾸어 새로 요청해 주세요.",
    ),
    "context_length_exceeded": (
        "The material is longer than the model can read. Ask for less, or with fewer documents.",
        "자료가 모델이 읽을 수 있는 길이보다 깁니다. 요청이나 문서를 줄여 주세요.",
    ),
    "budget_exceeded": (
        "What is left of the job's token budget does not cover its next step. Submit it anew with a larger one.",
        "남은 토큰 예산으로는 다음 단계를 실행할 수 없습니다. 예산을 늘려 새로 요청해 주세요.",
    ),
    "step_timeout": (
        "A step took longer than it may. Retry the job: it goes on after its last completed step.",
        "한 단계의 실행 시간이 한도를 넘었습니다. 다시 시도하면 마지막으로 마친 단계 다음부터 이어집니다.",
    ),
    "job_timeout": (
        "The job ran longer than it may. Retry it: it goes on after its last completed step.",
        "작업의 실행 시간이 한도를 넘었습니다. 다시 시도하면 마지막으로 마친 단계 다음부터 이어집니다.",
    ),
    "abandoned": (
        "The job's process was lost again and again before a step was completed. Retry it, or tell the operator.",
        "작업을 실행하던 프로세스가 한 단계도 마치지 못하고 거듭 중단되었습니다. 재시도하거나 운영자에게 알려 주세요.",
    ),
    "document_deleted": (
        "The document was deleted before it was read.",
        "문서가 읽기 전에 삭제되었습니다.",
    ),
}
# Of a search server: only the {why} of a skipped step, never a job's error.
_SEARCHES = {
    "search_unreachable": ("The search server did not answer.", "검색 서버가 응답하지 않았습니다."),
    "search_unreadable": ("The search server's answer could not be read.", "검색 서버의 응답을 읽을 수 없었습니다."),
    "search_unavailable": (
        "The search server answered that it cannot search now.",
        "검색 서버가 지금은 검색할 수 없다고 응답했습니다.",
    ),
    "search_too_large": ("The search server's answer is too large.", "검색 서버의 응답이 너무 큽니다."),
    "search_refused": (
        "The search server refused the question; it must allow format=json.",
        "검색 서버가 질의를 거부했습니다. format=json을 허용해야 합니다.",
    ),
}
_SKIPS = {
    "search_off": (
        "No search is configured: SEARCH_PROVIDER is none.",
        "SEARCH_PROVIDER가 none이라 외부 검색을 하지 않습니다.",
    ),
    "model_does_not_search": (
        "The model does not search for this recipe.",
        "이 레시피에서는 모델이 검색하지 않습니다.",
    ),
    "search_failed": ("Goes on without a search outside. {why}", "외부 검색 결과 없이 진행합니다. {why}"),
    "already_read": ("The document had been read already.", "문서를 이미 읽었습니다."),
    "no_embedding_model": (
        "No embedding model is configured: EMBEDDING_MODEL is unset.",
        "EMBEDDING_MODEL이 설정되어 있지 않습니다.",
    ),
    "another_reindexes": ("Another job is reindexing.", "다른 작업이 색인을 다시 만들고 있습니다."),
    "daily_run_instead": ("The daily run takes its place.", "이번에는 하루 한 번 하는 실행이 대신합니다."),
    "another_run": ("Another run is under way.", "다른 실행이 진행 중입니다."),
}

TEXTS: dict[str, dict[str, str]] = {
    **_failures(_PASSING, _LATER),
    **_failures(_MENDED_BY_AN_OPERATOR, _OPERATOR),
    **_failures(_MENDED_BY_THE_CALLER, ("", "")),
    **_failures(_SEARCHES, ("", "")),
    **{f"job.skip.{reason}": {"en": en, "ko": ko} for reason, (en, ko) in _SKIPS.items()},
}
