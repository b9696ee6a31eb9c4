"""Texts about problems: for each code a title and a sentence that says what to do."""


def _problem(code: str, *, title: tuple[str, str], detail: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {
        f"problem_title.{code}": {"en": title[0], "ko": title[1]},
        f"problem.{code}": {"en": detail[0], "ko": detail[1]},
    }


TEXTS: dict[str, dict[str, str]] = {
    # What was sent
    **_problem(
        "malformed_json",
        title=("The body is not JSON", "본문이 JSON이 아닙니다"),
        detail=(
            "The body cannot be read as JSON in UTF-8. Check its quotes, commas and encoding, and send it again.",
            "본문을 UTF-8 JSON으로 읽을 수 없습니다. 따옴표, 쉼표, 인코딩을 확인한 뒤 다시 보내 주세요.",
        ),
    ),
    **_problem(
        "malformed_multipart",
        title=("The form cannot be read", "폼을 읽을 수 없습니다"),
        detail=(
            "The body is not a complete multipart/form-data form. Send the file in a field named file.",
            "본문이 온전한 multipart/form-data 폼이 아닙니다. file 필드에 파일을 담아 보내 주세요.",
        ),
    ),
    **_problem(
        "invalid_request",
        title=("The request has values that are not taken", "받을 수 없는 값이 있습니다"),
        detail=(
            "Correct what errors lists and send the request again. Nothing was stored.",
            "errors에 적힌 항목을 고쳐 다시 보내 주세요. 저장된 것은 없습니다.",
        ),
    ),
    **_problem(
        "unsupported_media_type",
        title=("The type of the body is not taken", "받을 수 없는 본문 형식입니다"),
        detail=("Send the body as {expected}.", "본문을 {expected} 형식으로 보내 주세요."),
    ),
    **_problem(
        "body_too_large",
        title=("The body is too large", "본문이 너무 큽니다"),
        detail=(
            "The body may have {max_bytes} bytes at most. Shorten it and send it again.",
            "본문은 최대 {max_bytes}바이트까지 받습니다. 줄여서 다시 보내 주세요.",
        ),
    ),
    **_problem(
        "bad_request",
        title=("The request cannot be read", "요청을 읽을 수 없습니다"),
        detail=(
            "The request does not follow HTTP. Check its headers and send it again.",
            "요청이 HTTP 규칙에 맞지 않습니다. 헤더를 확인한 뒤 다시 보내 주세요.",
        ),
    ),
    **_problem(
        "idempotency_key_invalid",
        title=("The Idempotency-Key is not valid", "Idempotency-Key가 올바르지 않습니다"),
        detail=(
            "Idempotency-Key takes 1 to 255 printable ASCII characters, quoted or bare; a UUID does well.",
            "Idempotency-Key는 출력 가능한 ASCII 문자 1~255자여야 합니다(따옴표 선택). UUID를 권합니다.",
        ),
    ),
    **_problem(
        "idempotency_key_reused",
        title=("The Idempotency-Key belongs to another request", "다른 요청에 쓰인 Idempotency-Key입니다"),
        detail=(
            "This key was used with another body. Use a fresh key for a different request.",
            "이 키는 다른 본문과 함께 이미 쓰였습니다. 다른 요청에는 새 키를 사용해 주세요.",
        ),
    ),
    **_problem(
        "last_event_id_invalid",
        title=("The Last-Event-ID is not valid", "Last-Event-ID가 올바르지 않습니다"),
        detail=(
            "Last-Event-ID takes the number of the last event you have; leave it out to begin at the first.",
            "Last-Event-ID에는 마지막으로 받은 이벤트의 번호를 넣어 주세요. 처음부터 받으려면 비워 두세요.",
        ),
    ),
    **_problem(
        "invalid_cursor",
        title=("The cursor is not valid", "cursor가 올바르지 않습니다"),
        detail=(
            "Pass the next_cursor of an earlier answer unchanged, or leave cursor out to begin at the first page.",
            "이전 응답의 next_cursor를 그대로 넣거나, 첫 쪽부터 보려면 cursor를 빼 주세요.",
        ),
    ),
    # Who asks
    **_problem(
        "unauthorized",
        title=("A token is needed", "토큰이 필요합니다"),
        detail=(
            "Send Authorization: Bearer with a token of this service; for an event stream, a ticket does too.",
            "Authorization: Bearer 헤더에 이 서비스의 토큰을 보내 주세요. 이벤트 스트림에는 티켓도 쓸 수 있습니다.",
        ),
    ),
    # What is asked for
    **_problem(
        "not_found",
        title=("There is nothing at this address", "이 주소에는 아무것도 없습니다"),
        detail=(
            "Check the address; /docs lists what there is.",
            "주소를 확인해 주세요. /docs에서 목록을 볼 수 있습니다.",
        ),
    ),
    **_problem(
        "method_not_allowed",
        title=("The method is not taken here", "이 주소에서 쓸 수 없는 메서드입니다"),
        detail=("Use one of the methods that Allow lists.", "Allow 헤더에 적힌 메서드를 사용해 주세요."),
    ),
    **_problem(
        "not_acceptable",
        title=("The result has no such format", "결과에 없는 형식입니다"),
        detail=("Ask for one of: {formats}.", "다음 형식 중 하나를 요청해 주세요: {formats}."),
    ),
    **_problem(
        "job_not_found",
        title=("There is no such job", "작업을 찾을 수 없습니다"),
        detail=(
            "Check the job id; GET /api/generation lists yours.",
            "작업 ID를 확인해 주세요. GET /api/generation에서 목록을 볼 수 있습니다.",
        ),
    ),
    **_problem(
        "job_pruned",
        title=("The job was pruned", "보존 기간이 지난 작업입니다"),
        detail=(
            "The job ended so long ago that it is no longer kept. What it wrote stays: as an episode of its project.",
            "끝난 지 오래되어 작업 기록이 삭제되었습니다. 작성된 글은 프로젝트의 에피소드로 남아 있습니다.",
        ),
    ),
    **_problem(
        "job_not_failed",
        title=("Only a failed job can be retried", "실패한 작업만 다시 시도할 수 있습니다"),
        detail=(
            "Wait until the job has ended; where it completed or was cancelled, submit another one.",
            "작업이 끝날 때까지 기다려 주세요. 완료되었거나 취소된 작업이면 새로 요청해 주세요.",
        ),
    ),
    **_problem(
        "unknown_step",
        title=("The job has no such step", "작업에 없는 단계입니다"),
        detail=("from_step takes one of: {steps}.", "from_step에는 다음 중 하나를 넣어 주세요: {steps}."),
    ),
    **_problem(
        "unknown_recipe",
        title=("There is no such recipe", "없는 레시피입니다"),
        detail=("recipe takes one of: {recipes}.", "recipe에는 다음 중 하나를 넣어 주세요: {recipes}."),
    ),
    **_problem(
        "no_result",
        title=("This job writes no text", "텍스트를 쓰지 않는 작업입니다"),
        detail=(
            "Only generation jobs have a result; ask for the status of the document instead.",
            "결과는 생성 작업에만 있습니다. 대신 문서의 상태를 요청해 주세요.",
        ),
    ),
    **_problem(
        "result_not_ready",
        title=("The result is not there yet", "결과가 아직 없습니다"),
        detail=(
            "The job has not completed. Follow its events or ask again later; retry it where it failed.",
            "작업이 완료되지 않았습니다. 이벤트를 지켜보거나 나중에 다시 요청해 주세요. 실패했으면 재시도하세요.",
        ),
    ),
    **_problem(
        "project_not_found",
        title=("There is no such project", "프로젝트를 찾을 수 없습니다"),
        detail=(
            "This project id is in use by somebody else. Choose another one.",
            "이미 다른 사용자가 쓰고 있는 프로젝트 ID입니다. 다른 ID를 사용해 주세요.",
        ),
    ),
    **_problem(
        "episode_not_found",
        title=("There is no such episode", "에피소드를 찾을 수 없습니다"),
        detail=("Check the project and the number.", "프로젝트와 회차 번호를 확인해 주세요."),
    ),
    **_problem(
        "document_not_found",
        title=("There is no such document", "문서를 찾을 수 없습니다"),
        detail=(
            "Check the document id; GET /api/v1/documents lists yours.",
            "문서 ID를 확인해 주세요. GET /api/v1/documents에서 목록을 볼 수 있습니다.",
        ),
    ),
    # How busy it is
    **_problem(
        "queue_full",
        title=("The service is full", "작업이 가득 찼습니다"),
        detail=(
            "No more jobs are taken right now. Send the request again after Retry-After.",
            "지금은 작업을 더 받을 수 없습니다. Retry-After 이후에 다시 보내 주세요.",
        ),
    ),
    **_problem(
        "caller_over_limit",
        title=("You have too many jobs", "진행 중인 작업이 너무 많습니다"),
        detail=(
            "You may have {limit} jobs waiting or running. Wait for some to end, or cancel some.",
            "대기 중이거나 실행 중인 작업은 {limit}개까지입니다. 일부가 끝나기를 기다리거나 취소해 주세요.",
        ),
    ),
    **_problem(
        "too_many_streams",
        title=("Too many event streams are open", "열린 이벤트 스트림이 너무 많습니다"),
        detail=(
            "Close streams that you no longer read, or ask for the job itself instead.",
            "더 읽지 않는 스트림을 닫거나, 작업을 직접 조회해 주세요.",
        ),
    ),
    **_problem(
        "database_unavailable",
        title=("The database does not answer", "데이터베이스가 응답하지 않습니다"),
        detail=(
            "Send the request again after Retry-After, with the same Idempotency-Key if it has one.",
            "Retry-After 이후에 다시 보내 주세요. Idempotency-Key가 있으면 같은 키를 사용하세요.",
        ),
    ),
    **_problem(
        "temporarily_unavailable",
        title=("The service cannot do this right now", "지금은 처리할 수 없습니다"),
        detail=("Send the request again in a moment.", "잠시 후 다시 보내 주세요."),
    ),
    **_problem(
        "internal_error",
        title=("Something went wrong on our side", "서비스 내부에서 문제가 생겼습니다"),
        detail=(
            "Try again; if it happens again, tell the operator the number in X-Request-Id.",
            "다시 시도해 주세요. 계속되면 운영자에게 X-Request-Id 값을 알려 주세요.",
        ),
    ),
}
