"""Texts that generated results carry."""

TEXTS: dict[str, dict[str, str]] = {
    "pipeline.draft_title": {"en": "{title} (extractive draft)", "ko": "{title} (발췌 초안)"},
    "pipeline.draft_note": {
        "en": "Extractive draft: no language model wrote this. "
        "Sentences of the documents were chosen and quoted as they stand. generator: {generator}",
        "ko": "발췌 초안입니다. 언어 모델이 쓴 글이 아니며, 문서의 문장을 골라 그대로 옮겼습니다. 생성기: {generator}",
    },
    "pipeline.model_note": {"en": "generator: {generator}", "ko": "생성기: {generator}"},
    "pipeline.written_by_caller": {"en": "request: {name}", "ko": "요청: {name}"},
    "pipeline.synopsis": {"en": "synopsis", "ko": "시놉시스"},
    "pipeline.profile": {"en": "profile", "ko": "기업 소개"},
    "pipeline.earlier_episode": {"en": "Episode {number}: {title}", "ko": "{number}화: {title}"},
    "pipeline.characters": {"en": "Characters", "ko": "등장인물"},
    "pipeline.truncated": {
        "en": "The text ends early: the model reached its limit. Raise LLM_MAX_OUTPUT_TOKENS or the job's budget.",
        "ko": "글이 중간에 끝났습니다. 모델의 출력 한도에 닿았으니 LLM_MAX_OUTPUT_TOKENS나 작업 예산을 늘려 주세요.",
    },
    "pipeline.unknown_speaker": {
        "en": "{name} speaks but is not among the characters.",
        "ko": "{name}: 대사가 있지만 등장인물에 없습니다.",
    },
    "pipeline.heading_without_time": {
        "en": "Scene {number} says no time of day.",
        "ko": "{number}번 장면의 제목에 시간대가 없습니다.",
    },
    "pipeline.risk_title": {"en": "{name}: risk report", "ko": "{name} 리스크 보고서"},
}
