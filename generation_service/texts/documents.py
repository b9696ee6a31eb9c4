"""Texts about documents: why one was turned away, where one stands, and why one could not be read."""

TAKEN = "PDF, DOCX, PPTX, XLSX, HTML, HWP, HWPX, TXT"


def _refusal(code: str, *, title: tuple[str, str], detail: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {
        f"problem_title.{code}": {"en": title[0], "ko": title[1]},
        f"problem.{code}": {"en": detail[0], "ko": detail[1]},
    }


def _status(status: str, en: str, ko: str) -> dict[str, dict[str, str]]:
    return {f"document.status.{status}": {"en": en, "ko": ko}}


def _code(code: str, en: str, ko: str) -> dict[str, dict[str, str]]:
    return {f"document.code.{code}": {"en": en, "ko": ko}}


# Failures that are not the file's: whoever uploaded it can only wait, or tell the operator.
_STORAGE_REFUSED = (
    "The file storage refuses the service's credentials. Tell the operator, and retry once that is mended.",
    "파일 저장소가 서비스의 인증을 거부했습니다. 운영자에게 알리고, 해결되면 다시 시도해 주세요.",
)
_READER = (
    "The machine was too busy, or the program that reads documents was ended. The file itself is fine; retry it.",
    "서버가 너무 바쁘거나 문서를 읽는 프로그램이 중단되었습니다. 파일에는 문제가 없으니 다시 시도해 주세요.",
)
_EMBEDDING_AWAY = (
    "The embedding server does not answer as it should, so the text could not be made findable. Retry it later.",
    "임베딩 서버가 제대로 응답하지 않아 글을 색인하지 못했습니다. 잠시 뒤에 다시 시도해 주세요.",
)
_EMBEDDING_REFUSES = (
    "The embedding server, as it is configured, refuses the text. Tell the operator, and retry once that is mended.",
    "지금 설정으로는 임베딩 서버가 글을 받지 않습니다. 운영자에게 알리고, 해결되면 다시 시도해 주세요.",
)
_TOO_LONG = (
    "Reading the document took longer than it may. Retry it, or split the document.",
    "문서를 읽는 시간이 한도를 넘었습니다. 다시 시도하거나 문서를 나누어 주세요.",
)
_BUDGET = (
    "The job's token budget is used up. Retry it, or tell the operator.",
    "작업의 토큰 예산을 다 썼습니다. 다시 시도하거나 운영자에게 알려 주세요.",
)
_DATABASE_AWAY = (
    "The database did not answer. Nothing is wrong with the file; retry it in a moment.",
    "데이터베이스가 응답하지 않았습니다. 파일에는 문제가 없으니 잠시 뒤에 다시 시도해 주세요.",
)
_INTERNAL = (
    "Something of the service itself failed; the log says what. Retry it; if it fails again, tell the operator.",
    "서비스 내부에서 문제가 생겼습니다. 다시 시도해 주세요. 계속 실패하면 운영자에게 알려 주세요.",
)
_NOT_THE_FILES: dict[str, tuple[str, str]] = {
    "storage_refused": _STORAGE_REFUSED,
    "reader_starved": _READER,
    "reader_busy": _READER,
    "reader_killed": _READER,
    "reader_failed": _READER,
    "embedding_unavailable": _EMBEDDING_AWAY,
    "embedding_rate_limited": _EMBEDDING_AWAY,
    "embedding_timeout": _EMBEDDING_AWAY,
    "embedding_unreachable": _EMBEDDING_AWAY,
    "embedding_unreadable": _EMBEDDING_AWAY,
    "embedding_unauthorized": _EMBEDDING_REFUSES,
    "embedding_forbidden": _EMBEDDING_REFUSES,
    "embedding_not_found": _EMBEDDING_REFUSES,
    "embedding_bad_request": _EMBEDDING_REFUSES,
    "embedding_dimension": _EMBEDDING_REFUSES,
    "step_timeout": _TOO_LONG,
    "job_timeout": _TOO_LONG,
    "budget_exceeded": _BUDGET,
    "database_unavailable": _DATABASE_AWAY,
    "internal_error": _INTERNAL,
}

TEXTS: dict[str, dict[str, str]] = {
    **{key: text for code, (en, ko) in _NOT_THE_FILES.items() for key, text in _code(code, en, ko).items()},
    **_refusal(
        "document_empty",
        title=("The file is empty", "파일이 비어 있습니다"),
        detail=(
            "The file has no bytes. Check that it was saved, and upload it again.",
            "파일에 내용이 없습니다. 저장되었는지 확인한 뒤 다시 올려 주세요.",
        ),
    ),
    **_refusal(
        "one_file_only",
        title=("The form has several files", "폼에 파일이 여러 개입니다"),
        detail=(
            "One document is uploaded at a time. Send several files at once to POST /v1/programs.",
            "문서는 한 번에 하나씩 올립니다. 여러 파일은 POST /v1/programs로 한꺼번에 보내 주세요.",
        ),
    ),
    **_refusal(
        "document_type_not_taken",
        title=("This type of file is not taken", "받을 수 없는 파일 형식입니다"),
        detail=(
            f"{TAKEN} and Markdown are taken, told by content, not name. Save it as one of these and try again.",
            f"{TAKEN}, Markdown을 받으며, 이름이 아닌 내용으로 구분합니다. 이 형식으로 저장해 다시 올려 주세요.",
        ),
    ),
    **_refusal(
        "document_too_large",
        title=("The file is too large", "파일이 너무 큽니다"),
        detail=(
            "A file may have {megabytes} MiB at most. Split it into smaller files and upload those.",
            "파일은 최대 {megabytes}MiB까지 받습니다. 작은 파일로 나누어 올려 주세요.",
        ),
    ),
    **_refusal(
        "storage_unavailable",
        title=("Files cannot be stored now", "지금은 파일을 저장할 수 없습니다"),
        detail=(
            "The file storage does not answer. Nothing was stored; upload the file again in a moment.",
            "파일 저장소가 응답하지 않습니다. 저장된 것은 없으니 잠시 뒤에 다시 올려 주세요.",
        ),
    ),
    **_status(
        "accepted",
        "The document is stored and will be read in a moment.",
        "문서를 저장했습니다. 곧 읽기 시작합니다.",
    ),
    **_status("pending", "The document waits to be read.", "문서가 읽을 차례를 기다리고 있습니다."),
    **_status("processing", "The document is being read.", "문서를 읽고 있습니다."),
    **_status("completed", "The document is ready to be used.", "문서를 사용할 수 있습니다."),
    **_code(
        "encrypted",
        "The document is protected by a password. Remove the password and upload it again.",
        "암호가 걸린 문서입니다. 암호를 풀고 다시 올려 주세요.",
    ),
    **_code(
        "needs_ocr",
        "The pages are images without text. Run text recognition (OCR) on the file and upload it again, or ask for it"
        " with use_multimodal where the service has it.",
        "글자 없이 이미지로만 된 문서입니다. 문자 인식(OCR)을 거친 뒤 다시 올리거나, 서비스에 갖추어져 있다면"
        " use_multimodal로 요청해 주세요.",
    ),
    **_code(
        "unreadable",
        "The document is broken or holds no text. Open it, save it anew, and upload it again.",
        "문서가 손상되었거나 글이 없습니다. 열어서 새로 저장한 뒤 다시 올려 주세요.",
    ),
    **_code(
        "too_large",
        "The document has too much text, or too many pages or cells. Split it and upload the parts.",
        "글, 쪽수 또는 셀이 너무 많은 문서입니다. 나누어서 다시 올려 주세요.",
    ),
    **_code(
        "archive_bomb",
        "The file unpacks to far more than it should, so it was not opened. Save it anew and upload it again.",
        "압축을 풀면 지나치게 커지는 파일이라 열지 않았습니다. 문서를 새로 저장해 다시 올려 주세요.",
    ),
    **_code(
        "too_complex",
        "Reading the document took too much memory or time. Split it or simplify it, and upload it again.",
        "문서를 읽는 데 메모리나 시간이 너무 많이 듭니다. 나누거나 단순하게 고쳐 다시 올려 주세요.",
    ),
    **_code(
        "cancelled",
        "Reading the document was cancelled. Upload it again if you need it.",
        "문서 읽기를 취소했습니다. 필요하면 다시 올려 주세요.",
    ),
    **_code(
        "artefact_unreadable",
        "What was read of the document is damaged in the file storage. Retry it: it is read anew.",
        "문서를 읽어 둔 자료가 저장소에서 손상되었습니다. 다시 시도하면 처음부터 읽습니다.",
    ),
    **_code(
        "abandoned",
        "The process that read the document was lost again and again. Split the document, or retry it.",
        "문서를 읽던 프로세스가 거듭 중단되었습니다. 문서를 나누거나 다시 시도해 주세요.",
    ),
    **_code(
        "object_missing",
        "The file is not in the file storage any more. Upload it again.",
        "파일이 저장소에 더 이상 없습니다. 다시 올려 주세요.",
    ),
    **_code(
        "other",
        "The document could not be read this time. Retry its job, or upload it again.",
        "이번에는 문서를 읽지 못했습니다. 작업을 다시 시도하거나 문서를 다시 올려 주세요.",
    ),
}
