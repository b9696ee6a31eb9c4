"""Texts about jobs: what a job resource says about itself."""

TEXTS: dict[str, dict[str, str]] = {
    "job.pending": {"en": "Waiting to start.", "ko": "시작을 기다리고 있습니다."},
    "job.waiting_again": {
        "en": "Waiting for attempt {attempt} of {max_attempts}.",
        "ko": "{max_attempts}번 중 {attempt}번째 시도를 기다리고 있습니다.",
    },
    "job.going_on": {
        "en": "Waiting to go on after {done} of {count} steps.",
        "ko": "{count}단계 중 {done}단계를 마치고 이어서 실행되기를 기다리고 있습니다.",
    },
    "job.running": {"en": "Running.", "ko": "실행 중입니다."},
    "job.running_step": {
        "en": "Step {number} of {count}: {step}.",
        "ko": "{count}단계 중 {number}단계 실행 중: {step}.",
    },
    "job.completed": {"en": "Completed.", "ko": "완료되었습니다."},
    "job.completed_episode": {
        "en": "Completed: episode {number} is saved.",
        "ko": "완료되었습니다. {number}화가 저장되었습니다.",
    },
    "job.failed": {
        "en": "Failed after {attempt} of {max_attempts} attempts; error says why.",
        "ko": "{max_attempts}번 중 {attempt}번 시도한 뒤 실패했습니다. 이유는 error에 있습니다.",
    },
    "job.cancelled": {"en": "Cancelled.", "ko": "취소되었습니다."},
    "job.given_back.rescued": {"en": "its process was lost", "ko": "프로세스가 중단됨"},
    "job.given_back.stopping": {"en": "its process is stopping", "ko": "프로세스 종료 중"},
    "job.given_back.stopped": {"en": "its process was stopped", "ko": "프로세스가 종료됨"},
}
