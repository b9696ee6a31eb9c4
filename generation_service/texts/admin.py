"""Texts for operators: problems of the admin API, and what `mode` and `audit` say on a terminal."""


def _problem(code: str, *, title: tuple[str, str], detail: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {
        f"problem_title.{code}": {"en": title[0], "ko": title[1]},
        f"problem.{code}": {"en": detail[0], "ko": detail[1]},
    }


_PROBLEMS: dict[str, dict[str, str]] = {
    **_problem(
        "reason_required",
        title=("A reason is needed", "사유가 필요합니다"),
        detail=(
            "Say in a sentence why; the reason is kept in the history and in the audit. Nothing was changed.",
            "이유를 한 문장으로 적어 주세요. 사유는 이력과 감사 기록에 남습니다. 바뀐 것은 없습니다.",
        ),
    ),
    **_problem(
        "flag_required",
        title=("Nothing was said about the mode", "모드에 대한 내용이 없습니다"),
        detail=(
            "Say use_durable_worker, worker_system_enabled, or both. Nothing was changed.",
            "use_durable_worker나 worker_system_enabled 중 하나 이상을 지정해 주세요. 바뀐 것은 없습니다.",
        ),
    ),
    **_problem(
        "mode_changed",
        title=("Somebody else is changing the mode", "다른 곳에서 모드를 바꾸고 있습니다"),
        detail=(
            "The mode was changed again and again meanwhile. Look at its history, then say it once more.",
            "그사이 모드가 거듭 바뀌었습니다. 이력을 확인한 뒤 다시 요청해 주세요.",
        ),
    ),
    **_problem(
        "same_backend",
        title=("Source and target are the same", "source와 target이 같습니다"),
        detail=(
            "Name two different backends: rq_queue and background_tasks, either way round. Nothing was moved.",
            "서로 다른 두 백엔드(rq_queue, background_tasks)를 지정해 주세요. 옮긴 작업은 없습니다.",
        ),
    ),
    **_problem(
        "dead_letter_not_found",
        title=("There is no such dead letter", "데드레터를 찾을 수 없습니다"),
        detail=(
            "Check the job id; GET /api/admin/dead-letters lists what there is.",
            "작업 ID를 확인해 주세요. GET /api/admin/dead-letters에서 목록을 볼 수 있습니다.",
        ),
    ),
    **_problem(
        "dead_letter_without_job",
        title=("This dead letter is no job of ours", "이 데드레터에는 작업이 없습니다"),
        detail=(
            "It lay in a queue and the database knows no job for it; raw may say who put it there. Nothing was run.",
            "큐에 있었지만 데이터베이스에는 없는 작업입니다. raw에서 출처를 확인해 보세요. 실행한 것은 없습니다.",
        ),
    ),
}

_HELP: dict[str, dict[str, str]] = {
    "mode": {
        "en": "Show which backend jobs get, who said so and why; or say it: rq, or background.",
        "ko": "작업이 어느 백엔드로 가는지, 누가 왜 정했는지 보여 줍니다. rq 또는 background를 주면 모드를 바꿉니다.",
    },
    "mode.more": {
        "en": "Works on the database directly, with the API down too. Every process follows within a second. Jobs "
        "stay where they are unless --carry says otherwise; to move everything and prove it, use rollback.",
        "ko": "데이터베이스에 직접 쓰므로 API가 멈춰 있어도 됩니다. 모든 프로세스가 1초 안에 따릅니다. --carry를 주지 "
        "않으면 작업은 제자리에 있습니다. 모두 옮기고 확인까지 하려면 rollback을 쓰세요.",
    },
    "mode.reason": {"en": "Why; kept in the history and the audit.", "ko": "사유. 이력과 감사 기록에 남습니다."},
    "mode.enabled": {
        "en": "Switch the RQ part as a whole on or off.",
        "ko": "RQ 부분 전체를 켜거나 끕니다.",
    },
    "mode.carry": {
        "en": "What recovery takes along to the other backend.",
        "ko": "다른 백엔드로 함께 옮길 작업.",
    },
    "mode.limit": {"en": "How many modes of the history to show.", "ko": "보여 줄 이력의 개수."},
    "dry_run": {"en": "Only say what would be done.", "ko": "무엇을 할지 알려 주기만 합니다."},
    "audit": {
        "en": "Show who did what, why, with what result; or verify that nobody has touched the record.",
        "ko": "누가 무엇을 왜 했고 결과가 어땠는지 보여 주거나, 기록이 손대지 않은 그대로인지 확인합니다.",
    },
    "audit.list": {"en": "Show the newest entries.", "ko": "최근 기록을 보여 줍니다."},
    "audit.limit": {"en": "How many entries to show.", "ko": "보여 줄 기록의 개수."},
    "audit.verify": {
        "en": "Check the whole chain: exit 0 where it is as it was written, 1 where it is not.",
        "ko": "사슬 전체를 확인합니다. 쓰인 그대로면 0, 아니면 1로 종료합니다.",
    },
    "audit.noted": {
        "en": "A head that was noted earlier, which must still be in the chain.",
        "ko": "전에 적어 둔 끝(head). 사슬에 그대로 있어야 합니다.",
    },
}

_TERMINAL: dict[str, dict[str, str]] = {
    **{f"help.{name}": texts for name, texts in _HELP.items()},
    "mode.now": {
        "en": "Jobs go to {type} since {since}, said by {said_by} ({source}): {reason}",
        "ko": "작업은 {type}(으)로 갑니다. {since}부터, {said_by}({source}): {reason}",
    },
    "mode.nothing_said": {
        "en": "Nobody has said anything yet: jobs run in-process until a process starts and says what it was set to.",
        "ko": "아직 정해진 모드가 없습니다. 프로세스가 시작되어 설정을 알릴 때까지 작업은 프로세스 안에서 실행됩니다.",
    },
    "mode.under_way": {
        "en": "A {kind} is under way since {since} (steps done: {steps_done}).",
        "ko": "{kind}이(가) {since}부터 진행 중입니다(끝난 단계: {steps_done}).",
    },
    "mode.changed": {
        "en": "Jobs go to {type} now. Every process follows within a second.",
        "ko": "이제 작업은 {type}(으)로 갑니다. 모든 프로세스가 1초 안에 따릅니다.",
    },
    "mode.unchanged": {
        "en": "That is in force already; nothing was changed.",
        "ko": "이미 그 모드입니다. 바뀐 것은 없습니다.",
    },
    "mode.would_change": {
        "en": "Jobs would go to {type}. Nothing was changed.",
        "ko": "작업이 {type}(으)로 가게 됩니다. 바뀐 것은 없습니다.",
    },
    "mode.jobs": {
        "en": "{backend}: {waiting} waiting, {scheduled} scheduled, {running} running",
        "ko": "{backend}: 대기 {waiting}, 예약 {scheduled}, 실행 {running}",
    },
    "mode.history": {"en": "History", "ko": "이력"},
    "mode.column.epoch": {"en": "epoch", "ko": "회차"},
    "mode.column.type": {"en": "backend", "ko": "백엔드"},
    "mode.column.since": {"en": "since", "ko": "시작"},
    "mode.column.said_by": {"en": "said by", "ko": "누가"},
    "mode.column.source": {"en": "source", "ko": "출처"},
    "mode.column.reason": {"en": "reason", "ko": "사유"},
    "mode.needs_word": {
        "en": "--reason says why a mode is said: name rq or background, --enabled or --disabled, with it.",
        "ko": "--reason은 모드를 바꾸는 사유입니다. rq나 background, 또는 --enabled나 --disabled와 함께 쓰세요.",
    },
    "mode.needs_reason": {
        "en": "--reason is needed: a sentence that says why. Nothing was changed.",
        "ko": "--reason으로 이유를 한 문장 적어 주세요. 바뀐 것은 없습니다.",
    },
    "audit.none": {"en": "There are no entries yet.", "ko": "아직 기록이 없습니다."},
    "audit.intact": {
        "en": "The record is as it was written: {entries} entries, head {sequence}:{digest}",
        "ko": "기록은 쓰인 그대로입니다. 기록 {entries}건, 끝 {sequence}:{digest}",
    },
    "audit.broken": {
        "en": "The record is broken at entry {broken_at}: {why}. {entries} entries before it are as they were written.",
        "ko": "기록이 {broken_at}번에서 끊어졌습니다: {why}. 그 앞의 {entries}건은 쓰인 그대로입니다.",
    },
    "audit.why.changed": {"en": "it was changed", "ko": "내용이 바뀌었습니다"},
    "audit.why.missing": {"en": "it is missing", "ko": "없습니다"},
    "audit.why.inserted": {"en": "it was put in later", "ko": "나중에 끼워 넣었습니다"},
    "audit.why.head": {
        "en": "the head that is kept apart is another one",
        "ko": "따로 보관한 끝(head)과 다릅니다",
    },
    "audit.bad_noted": {
        "en": "--noted takes SEQUENCE:DIGEST, as verify printed it.",
        "ko": "--noted에는 verify가 출력한 SEQUENCE:DIGEST를 넣으세요.",
    },
    "audit.column.sequence": {"en": "no.", "ko": "번호"},
    "audit.column.at": {"en": "at", "ko": "시각"},
    "audit.column.actor": {"en": "who", "ko": "누가"},
    "audit.column.action": {"en": "what", "ko": "무엇을"},
    "audit.column.outcome": {"en": "result", "ko": "결과"},
    "audit.column.reason": {"en": "why", "ko": "왜"},
}

TEXTS: dict[str, dict[str, str]] = {
    **_PROBLEMS,
    **{f"terminal.{key}": texts for key, texts in _TERMINAL.items()},
}
