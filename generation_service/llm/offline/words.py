"""The few words the drafter knows, in both languages: places, times of day, conflicts, risks, and its own phrases."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from generation_service.texts import Language

Named: TypeAlias = Sequence[tuple[str, re.Pattern[str]]]
"""Names with what they are recognised by; the first that fits counts."""


def _korean(stems: str) -> re.Pattern[str]:
    return re.compile("|".join(stems.split()))


def _english(stems: str) -> re.Pattern[str]:
    """Words that begin with one of the stems; `_` stands for a space, `$` for the word's end."""
    joined = "|".join(stems.split()).replace("_", r"\s+").replace("$", r"\b")
    return re.compile(rf"\b(?:{joined})", re.IGNORECASE)


_KOREAN_PLACES = """
책방 서점 극장 병원 응급실 경찰서 학교 교실 사무실 골목 시장 부두 항구 등대 바닷가 옥상 지하실 창고 공장 카페 식당
주방 거실 정류장 기차역 공원 회의실 작업실 도서관 기록관 방파제 마당 다락방 계단 복도 숲길 묘지
"""
_ENGLISH_PLACES = """
lighthouse bookshop theater theatre hospital station school office alley market harbor harbour pier dock beach
rooftop cellar basement warehouse factory cafe café restaurant kitchen park library archive breakwater courtyard
attic stairwell boathouse chapel tavern cemetery
"""

_KOREAN_PLACE = f"[가-힣]{{0,4}}(?:{'|'.join(_KOREAN_PLACES.split())})"
_ENGLISH_PLACE = rf"(?:{'|'.join(_ENGLISH_PLACES.split())})"

# Only where something happens: a place that is merely mentioned is no scene.
PLACES: Mapping[Language, re.Pattern[str]] = {
    "ko": re.compile(f"(?P<place>(?:{_KOREAN_PLACE}의 )?{_KOREAN_PLACE})(?=에서|에만|에 |으로|로 )"),
    "en": re.compile(
        r"\b(?:in|at|to|into|inside|on|onto|outside|up|down|through)\s+(?:(?:the|a|an|his|her|their)\s+)?"
        rf"(?P<place>(?:\w+\s+)?{_ENGLISH_PLACE}(?:\s+{_ENGLISH_PLACE})?)\b",
        re.IGNORECASE,
    ),
}

TIMES: Mapping[Language, Named] = {
    "ko": [
        ("새벽", _korean("새벽")),
        ("아침", _korean("아침")),
        ("저녁", _korean("저녁 황혼 노을")),
        ("밤", re.compile(r"자정|한밤|밤(?=[에이,.\s]|마다|부터|새|중|늦)")),
        ("낮", re.compile(r"한낮|정오|점심|오후|오전|낮(?=[에,.\s]|부터|까지)")),
    ],
    "en": [
        ("DAWN", _english("dawn$ sunrise$")),
        ("MORNING", _english("morning$")),
        ("EVENING", _english("evening$ dusk$ sunset$")),
        ("NIGHT", _english("night$ midnight$")),
        ("DAY", _english("noon$ afternoon$ midday$")),
    ],
}

CONFLICTS: Mapping[Language, re.Pattern[str]] = {
    "ko": _korean(
        "하지만 그러나 맞서 다투 다툼 거절 거부 반대 숨기 숨긴 속이 속여 배신 위협 빼앗 포기"
        " 의심 원망 복수 실종 잃 두려 들키 막아"
    ),
    "en": _english(
        "but$ against$ quarrel refus oppos hid$ hide hidden lied$ lies$ betray threat steal stole suspect revenge"
        " missing$ lose loss lost afraid fear confront forbid forbade"
    ),
}

RISKS: Mapping[Language, Named] = {
    "ko": [
        ("legal", _korean("소송 제재 과징금 수사 위반 고발 규제 압수수색 분쟁 판결")),
        ("finance", _korean("부채 차입 적자 손실 연체 유동성 자본잠식 현금흐름 채무 만기 감소 하락 부도 이자")),
        ("governance", _korean("횡령 배임 내부통제 지배구조 대주주 이사회 감사의견 공시")),
        ("operations", _korean("중단 결함 리콜 사고 화재 파업 공급 납품 재고 품질 지연 해킹 유출")),
        ("market", _korean("수요 경쟁 점유율 환율 원자재 시장 거래처 수출 관세")),
    ],
    "en": [
        ("legal", _english("lawsuit sanction fine$ fined$ investigat violat regulat dispute court$")),
        ("finance", _english("debt loan loss$ losses$ default overdue liquidity cash_flow interest$ declin matur")),
        ("governance", _english("embezzl internal_control board$ shareholder audit disclosure")),
        ("operations", _english("halt defect recall accident fire$ strike$ suppl inventor quality delay breach")),
        ("market", _english("demand competit market_share exchange_rate raw_material export tariff")),
    ],
}

SEVERE: Mapping[Language, Named] = {
    "ko": [
        ("critical", _korean("부도 자본잠식 횡령 영업정지 회생 파산 의견거절")),
        ("high", _korean("소송 적자 연체 수사 리콜 화재 급감 급증 위반 중단 한정의견")),
        ("medium", _korean("감소 하락 지연 증가 분쟁 의존 집중 우려")),
    ],
    "en": [
        ("critical", _english("default insolven embezzl bankrupt suspension")),
        ("high", _english("lawsuit loss$ losses$ overdue investigat recall fire$ halt violat")),
        ("medium", _english("declin fell$ delay dispute depend concentrat concern rose$")),
    ],
}

PHRASES: Mapping[str, Mapping[Language, str]] = {
    "place_unknown": {"ko": "장소 미정", "en": "PLACE TO BE DECIDED"},
    "references": {"ko": "참고 자료", "en": "Reference notes"},
    "earlier": {"ko": "지난 회차", "en": "Earlier episodes"},
    "not_enough": {
        "ko": "자료 부족: 이야기로 쓸 문장을 문서에서 {found}개만 찾았습니다. "
        "시놉시스나 인물 문서를 올리고 다시 생성하세요.",
        "en": "Not enough material: only {found} sentences of the documents tell a story. "
        "Upload a synopsis or a characters document and generate again.",
    },
    "no_risk": {
        "ko": "자료 부족: 문서에서 위험 신호로 볼 문장을 찾지 못했습니다. 재무 자료나 기사를 올리고 다시 생성하세요.",
        "en": "Not enough material: no sentence of the documents speaks of a risk. "
        "Upload financial documents or articles and generate again.",
    },
    "validated": {"ko": "규칙으로만 검사했습니다.", "en": "Checked by rules only."},
    "overview": {"ko": "기업 개요", "en": "Company"},
    "signals": {"ko": "위험 신호", "en": "Risk signals"},
    "conclusion": {"ko": "종합", "en": "Summary"},
    "counted": {
        "ko": "신호 {total}건 가운데 심각·높음이 {severe}건입니다. 판단은 사람이 해야 합니다.",
        "en": "{severe} of {total} signals are critical or high. The judgement is a person's to make.",
    },
}

SEVERITIES: Mapping[str, Mapping[Language, str]] = {
    "critical": {"ko": "심각", "en": "Critical"},
    "high": {"ko": "높음", "en": "High"},
    "medium": {"ko": "보통", "en": "Medium"},
    "low": {"ko": "낮음", "en": "Low"},
}


def phrase(name: str, language: Language, **values: object) -> str:
    """One of the drafter's own phrases."""
    return PHRASES[name][language].format(**values)


def place_of(text: str, language: Language) -> str | None:
    """The first place where a text says that something happens; None where it says none."""
    found = PLACES[language].search(text)
    return found["place"] if found else None


def time_of(text: str, language: Language) -> str | None:
    """The first time of day a text names; None where it names none."""
    found = [(match.start(), name) for name, pattern in TIMES[language] if (match := pattern.search(text))]
    return min(found)[1] if found else None


def named(patterns: Named, text: str) -> str | None:
    """The first name whose pattern is found in `text`; None for none."""
    return next((name for name, pattern in patterns if pattern.search(text)), None)
