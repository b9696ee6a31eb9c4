"""Texts of graceful restarts: why one cannot be had."""

TEXTS: dict[str, dict[str, str]] = {
    "problem_title.not_supervised": {
        "en": "Nobody could replace this process",
        "ko": "이 프로세스를 교체할 수 없습니다",
    },
    "problem.not_supervised": {
        "en": "This process was not started by generation-service serve, so there is no supervisor that could start "
        "its successor. Restart it the way it was started. Nothing was restarted.",
        "ko": "이 프로세스는 generation-service serve로 시작되지 않아 새 프로세스를 띄워 줄 슈퍼바이저가 없습니다. "
        "시작한 방법으로 다시 시작해 주세요. 재시작된 것은 없습니다.",
    },
    "problem_title.restart_under_way": {
        "en": "A restart is under way",
        "ko": "재시작이 진행 중입니다",
    },
    "problem.restart_under_way": {
        "en": "Restart {id} has not ended yet; GET {urls[self]} shows how far it is.",
        "ko": "재시작 {id}이(가) 아직 끝나지 않았습니다. GET {urls[self]}에서 진행 상황을 볼 수 있습니다.",
    },
    "problem_title.restart_not_found": {
        "en": "There is no such restart",
        "ko": "재시작을 찾을 수 없습니다",
    },
    "problem.restart_not_found": {
        "en": "Check the id, as POST /api/admin/graceful-restart answered it.",
        "ko": "POST /api/admin/graceful-restart가 돌려준 ID인지 확인해 주세요.",
    },
    "problem_title.invalid_configuration": {
        "en": "The new configuration does not hold",
        "ko": "새 설정이 올바르지 않습니다",
    },
    "problem.invalid_configuration": {
        "en": "A new process would not start, so nothing was restarted:\n{lines}",
        "ko": "새 프로세스가 시작되지 못하므로 아무것도 재시작하지 않았습니다.\n{lines}",
    },
}
