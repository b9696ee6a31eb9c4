"""Texts of the command about the index of passages, and of its `--help`."""

_TEXTS: dict[str, dict[str, str]] = {
    "help.reindex": {
        "en": "Build the index of vectors for EMBEDDING_MODEL, or go on with it; searches use the one there is until "
        "the other is whole. Shows what there is where nothing is to be done.",
        "ko": "EMBEDDING_MODEL의 벡터 색인을 새로 만들거나 이어서 만듭니다. 다 될 때까지 검색은 지금 색인을 씁니다. "
        "할 일이 없으면 지금의 색인을 보여 줍니다.",
    },
    "help.reindex.anew": {
        "en": "Build it anew for the same model: its server now gives other vectors.",
        "ko": "같은 모델이라도 새로 만듭니다. 서버가 내는 벡터가 달라졌을 때 씁니다.",
    },
    "reindex.no_model": {
        "en": "EMBEDDING_MODEL: there are vectors only where EMBEDDING_BASE_URL and EMBEDDING_MODEL are set.",
        "ko": "EMBEDDING_MODEL: EMBEDDING_BASE_URL과 EMBEDDING_MODEL을 설정해야 벡터를 쓸 수 있습니다.",
    },
    "reindex.submitted": {
        "en": "Job {job_id} fills the index for {model}. Follow it with: status --watch",
        "ko": "작업 {job_id}이(가) {model} 색인을 채웁니다. status --watch로 지켜볼 수 있습니다.",
    },
    "reindex.nothing": {
        "en": "Nothing is to be done, or a job is at it already.",
        "ko": "할 일이 없거나 이미 작업이 진행 중입니다.",
    },
    "reindex.model": {"en": "Model", "ko": "모델"},
    "reindex.dimension": {"en": "Dimension", "ko": "차원"},
    "reindex.status": {"en": "Status", "ko": "상태"},
    "reindex.missing": {"en": "Passages without a vector", "ko": "벡터가 없는 구절"},
    "reindex.active": {"en": "in use", "ko": "사용 중"},
    "reindex.building": {"en": "being built", "ko": "만드는 중"},
}

TEXTS: dict[str, dict[str, str]] = {f"terminal.{name}": texts for name, texts in _TEXTS.items()}
