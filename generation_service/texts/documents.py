"""Texts about documents: why one was turned away, where one stands, and why one could not be read."""

_TAKEN = "PDF, DOCX, PPTX, XLSX, HTML, HWP, HWPX, TXT"


def _refusal(code: str, *, title: tuple[str, str], detail: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {
        f"problem_title.{code}": {"en": title[0], "ko": title[1]},
        f"problem.{code}": {"en": detail[0], "ko": detail[1]},
    }


def _status(status: str, en: str, ko: str) -> dict[str, dict[str, str]]:
    return {f"document.status.{status}": {"en": en, "ko": ko}}


def _code(code: str, en: str, ko: str) -> dict[str, dict[str, str]]:
    return {f"document.code.{code}": {"en": en, "ko": ko}}


TEXTS: dict[str, dict[str, str]] = {
    **_refusal(
        "document_empty",
        title=("The file is empty", "파일이 비어 있습니다"),
        detail=(
            "The file has no bytes. Check that it was saved, and upload it again.",
            "파일에 내용이 없습니다. 저장되었는지 확인한 뒤 다시 올려 주세요.",
        ),
    ),
    **_refusal(
        "document_type_not_taken",
        title=("This type of file is not taken", "받을 수 없는 파일 형식입니다"),
        detail=(
            f"{_TAKEN} and Markdown are taken, told by content, not name. Save it as one of these and try again.",
            f"{_TAKEN}, Markdown을 받으며, 이름이 아닌 내용으로 구분합니다. 이 형식으로 저장해 다시 올려 주세요.",
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
