"""Texts about programs and about what can be done with documents besides reading them."""

from generation_service.texts.documents import TAKEN


def _problem(code: str, *, title: tuple[str, str], detail: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {
        f"problem_title.{code}": {"en": title[0], "ko": title[1]},
        f"problem.{code}": {"en": detail[0], "ko": detail[1]},
    }


_DOCUMENTS: dict[str, dict[str, str]] = {
    **_problem(
        "document_of_program",
        title=("The document belongs to a program", "프로그램에 속한 문서입니다"),
        detail=(
            "Its program tries it again: POST /v1/programs/{program_id}/retry.",
            "프로그램에서 다시 시도해 주세요: POST /v1/programs/{program_id}/retry.",
        ),
    ),
    **_problem(
        "document_not_failed",
        title=("Only a document that failed can be read again", "실패한 문서만 다시 읽을 수 있습니다"),
        detail=(
            "Wait until it has been read. If reading it was cancelled, or is long ago, upload the file again.",
            "다 읽을 때까지 기다려 주세요. 취소되었거나 오래된 문서라면 파일을 다시 올려 주세요.",
        ),
    ),
    **_problem(
        "storage_quota_exceeded",
        title=("You have reached your limit of documents", "문서 보관 한도에 이르렀습니다"),
        detail=(
            "You may keep {documents} documents and {megabytes} MiB in all. Delete some that you no longer need.",
            "문서 {documents}개, 모두 {megabytes}MiB까지 보관할 수 있습니다. 필요 없는 문서를 먼저 지워 주세요.",
        ),
    ),
    "document.status.duplicate": {
        "en": "The project has a document with the same content already; nothing was stored again.",
        "ko": "같은 내용의 문서가 프로젝트에 이미 있습니다. 다시 저장하지 않았습니다.",
    },
    "document.removed": {"en": "The document was deleted.", "ko": "문서를 지웠습니다."},
    "document.removed.generated": {
        "en": "The document was deleted. What was generated from it stays: {count} episode(s).",
        "ko": "문서를 지웠습니다. 이 문서로 생성한 에피소드 {count}개는 그대로 남아 있습니다.",
    },
}

_PROGRAMS: dict[str, dict[str, str]] = {
    **_problem(
        "program_not_found",
        title=("There is no such program", "프로그램을 찾을 수 없습니다"),
        detail=(
            "Check the program id and user_id; GET /v1/programs lists yours.",
            "프로그램 ID와 user_id를 확인해 주세요. GET /v1/programs에서 목록을 볼 수 있습니다.",
        ),
    ),
    **_problem(
        "retry_not_found",
        title=("There is no such retry", "재시도를 찾을 수 없습니다"),
        detail=(
            "Check its id; retry_history of the program lists its retries.",
            "ID를 확인해 주세요. 프로그램의 retry_history에서 목록을 볼 수 있습니다.",
        ),
    ),
    **_problem(
        "program_without_files",
        title=("The program has no files", "프로그램에 파일이 없습니다"),
        detail=(
            "Send each file in a field named files.",
            "files 필드에 파일을 하나씩 담아 보내 주세요.",
        ),
    ),
    **_problem(
        "program_too_many_files",
        title=("The program has too many files", "프로그램의 파일이 너무 많습니다"),
        detail=(
            "A program may have {limit} files at most. Send them as several programs.",
            "프로그램 하나에 파일 {limit}개까지 받습니다. 여러 프로그램으로 나누어 보내 주세요.",
        ),
    ),
    **_problem(
        "program_too_large",
        title=("The program is too large", "프로그램이 너무 큽니다"),
        detail=(
            "The files of a program may have {megabytes} MiB in all. Send them as several programs.",
            "프로그램 하나의 파일은 모두 {megabytes}MiB까지 받습니다. 여러 프로그램으로 나누어 보내 주세요.",
        ),
    ),
    "program.accepted": {
        "en": "{count} files are stored and will be read now.",
        "ko": "파일 {count}개를 저장했습니다. 곧 읽기 시작합니다.",
    },
    "program.processing": {
        "en": "{done} of {total} files are done.",
        "ko": "파일 {total}개 중 {done}개를 처리했습니다.",
    },
    "program.completed": {
        "en": "All {total} files are ready to be used.",
        "ko": "파일 {total}개를 모두 쓸 수 있습니다.",
    },
    "program.partial": {
        "en": "{completed} of {total} files are ready to be used; {failed} failed. failed_files says why; retry them "
        "with POST /v1/programs/{program_id}/retry.",
        "ko": "파일 {total}개 중 {completed}개를 쓸 수 있고 {failed}개는 실패했습니다. 이유는 failed_files에 있으며, "
        "POST /v1/programs/{program_id}/retry로 다시 시도할 수 있습니다.",
    },
    "program.deleted": {
        "en": "The program was deleted. Files that were not read yet will not be; documents that are ready stay.",
        "ko": "프로그램을 지웠습니다. 아직 읽지 않은 파일은 읽지 않으며, 준비된 문서는 그대로 남아 있습니다.",
    },
    "program.retry.nothing": {
        "en": "There is nothing to retry.",
        "ko": "다시 시도할 파일이 없습니다.",
    },
    "program.retry.under_way": {
        "en": "{retried} files are being tried again; {waiting} have no result yet.",
        "ko": "파일 {retried}개를 다시 시도하고 있습니다. {waiting}개는 아직 결과가 없습니다.",
    },
    "program.retry.done": {
        "en": "The retry is complete: {success} of {retried} files are ready now.",
        "ko": "재시도 완료: 파일 {retried}개 중 {success}개를 이제 쓸 수 있습니다.",
    },
    "program.retry.hopeless": {
        "en": "{count} cannot be tried again: nothing of them was stored. Correct them and upload them again.",
        "ko": "{count}개는 저장된 내용이 없어 다시 시도할 수 없습니다. 고쳐서 다시 올려 주세요.",
    },
    "program.retry.skipped": {"en": "{count} were skipped.", "ko": "{count}개는 건너뛰었습니다."},
    "program.skipped.under_retry": {
        "en": "it is under another retry; wait for that one",
        "ko": "다른 재시도가 진행 중입니다. 끝나기를 기다려 주세요",
    },
    "program.skipped.retried_meanwhile": {
        "en": "another retry tried it while this one waited; ask for the program again",
        "ko": "기다리는 동안 다른 재시도가 처리했습니다. 프로그램을 다시 조회해 주세요",
    },
    "program.skipped.document_deleted": {
        "en": "its document was deleted; upload the file again",
        "ko": "문서가 삭제되었습니다. 파일을 다시 올려 주세요",
    },
    "program.skipped.cancelled": {
        "en": "reading it was cancelled; upload the file again",
        "ko": "읽기를 취소했습니다. 파일을 다시 올려 주세요",
    },
    "program.skipped.job_gone": {
        "en": "it is too old to be tried again; upload the file again",
        "ko": "너무 오래되어 다시 시도할 수 없습니다. 파일을 다시 올려 주세요",
    },
    "document.code.empty": {
        "en": "The file has no bytes. Check that it was saved, and upload it again.",
        "ko": "파일에 내용이 없습니다. 저장되었는지 확인한 뒤 다시 올려 주세요.",
    },
    "document.code.type_not_taken": {
        "en": f"This type of file is not taken. Save it as {TAKEN} or Markdown and upload it again.",
        "ko": f"받을 수 없는 파일 형식입니다. {TAKEN}, Markdown으로 저장해 다시 올려 주세요.",
    },
    "document.code.nothing_stored": {
        "en": "Nothing of this file was stored, so it cannot be tried again. Correct it and upload it again.",
        "ko": "저장된 내용이 없어 다시 시도할 수 없습니다. 파일을 고쳐 다시 올려 주세요.",
    },
    "document.code.artefact_missing": {
        "en": "What had been read of the file was lost. Retry it: it is read again from the beginning.",
        "ko": "읽어 둔 내용이 사라졌습니다. 다시 시도하면 처음부터 다시 읽습니다.",
    },
    "document.code.storage_unavailable": {
        "en": "The file storage did not answer. It is tried again by itself; you can retry it, too.",
        "ko": "파일 저장소가 응답하지 않았습니다. 자동으로 다시 시도하며, 직접 재시도할 수도 있습니다.",
    },
    "document.code.document_deleted": {
        "en": "The document was deleted. Upload the file again if you need it.",
        "ko": "문서가 삭제되었습니다. 필요하면 파일을 다시 올려 주세요.",
    },
}

TEXTS: dict[str, dict[str, str]] = {**_DOCUMENTS, **_PROGRAMS}
