"""The recipe `risk_report`: the risks of a company, from its figures, documents and findings."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from generation_service.jobs.model import Json
from generation_service.pipeline.recipes.base import (
    Brief,
    GenerationRequest,
    LongText,
    Name,
    ProjectId,
    Recipe,
    ShortText,
    Signal,
)
from generation_service.texts import Language, text

Severity = Literal["critical", "high", "medium", "low"]
Figure = Annotated[float, Field(allow_inf_nan=False)] | ShortText | None

_GROUPS = ("financials", "non_financials")
_ROUNDED = 12  # significant digits of a figure as it is shown


class RiskRequest(GenerationRequest):
    """The body of a request for a risk report; the project is the company's own where none is named."""

    project_id: ProjectId
    corp_id: ProjectId
    corp_name: Name | None = None
    industry: ShortText = ""
    period: ShortText = Field("", description="what the figures cover, such as 2025 Q3")
    financials: dict[Name, Figure] = Field({}, max_length=200, description="figures by name, as numbers or as text")
    non_financials: dict[Name, ShortText] = Field(
        {}, max_length=200, description="facts by name: owners, staff, rating"
    )
    profile: LongText = Field("", description="what is known about the company, in sentences")
    instructions: LongText = ""
    language: Literal["ko", "en"] | None = None

    def stored(self) -> dict[str, Json]:
        """Figures and facts as lists of pairs: PostgreSQL does not keep the order of an object's names."""
        kept = super().stored()
        return {**kept, **{group: list(map(list, kept[group].items())) for group in _GROUPS}}


def _severity(value: object) -> object:
    """What a model calls it, where that is not one of ours: medium."""
    lowered = str(value).strip().lower()
    return lowered if lowered in get_args(Severity) else "medium"


class RiskSignal(Signal):
    """One risk with its evidence."""

    kind: Literal["risk"] = "risk"
    category: str = "other"
    severity: Annotated[Severity, BeforeValidator(_severity)] = "medium"


class RiskReport(Recipe):
    """A report on a company's risks, each with evidence and severity."""

    name = "risk_report"
    form = "report"
    request = RiskRequest
    signal = RiskSignal
    searches_with_model = True

    def validate(self, body: Mapping[str, Any]) -> GenerationRequest:
        if "project_id" not in body and "corp_id" in body:
            body = {**body, "project_id": body["corp_id"]}
        return super().validate(body)

    def language(self, request: Mapping[str, Json]) -> Language | None:
        language: Language | None = request.get("language")
        return language

    def brief(self, request: Mapping[str, Json], language: Language) -> Brief:
        name = request.get("corp_name") or request["corp_id"]
        profile = request.get("profile")
        return Brief(
            title=text("pipeline.risk_title", language, name=name),
            facts=dict(_facts(request, language)),
            instructions=request.get("instructions", ""),
            written=[(text("pipeline.profile", language), profile)] if profile else [],
        )

    def structured(self, text: str, known: frozenset[str], language: Language) -> dict[str, Json]:  # noqa: ARG002 - a port
        sections: list[dict[str, Json]] = []
        for line in text.splitlines():
            if line.startswith("#"):
                sections.append({"heading": line.lstrip("# ").strip(), "lines": []})
            elif line.strip():
                sections = sections or [{"heading": "", "lines": []}]
                sections[-1]["lines"].append(line.strip())
        return {"report": {"sections": sections}, "warnings": []}

    prompts = {  # noqa: RUF012 - declared as a constant in the base
        "external": {
            "ko": """이 기업에 관한 최근 공개 정보를 검색하라. 확인한 것만, 출처 주소와 함께 적어라.
JSON 객체 하나만 답하라:
{"hits": [{"url": "https://...", "title": "제목", "snippet": "내용", "published": "2025-01-31"}]}""",
            "en": """Search for recent public information about this company.
Give only what you have verified, with its address.
Answer with one JSON object only:
{"hits": [{"url": "https://...", "title": "title", "snippet": "what it says", "published": "2025-01-31"}]}""",
        },
        "signals": {
            "ko": """너는 기업 여신 심사역이다. 자료에서 이 기업의 위험 신호를 찾아라.
자료에 없는 것은 쓰지 말고, 각 신호에 근거가 된 자료의 번호를 sources에 적어라.
JSON 객체 하나만 답하라. 설명이나 코드 블록은 쓰지 마라.
{"signals": [
  {"kind": "risk", "category": "finance", "severity": "high", "text": "무엇이 왜 위험한가", "sources": [1]}
]}
category는 finance, legal, governance, operations, market 가운데 하나,
severity는 critical, high, medium, low 가운데 하나다.""",
            "en": """You are a credit officer. Find the risk signals of this company in the material.
Write nothing that the material does not say, and give the numbers of the sources that say it.
Answer with one JSON object and nothing else: no explanation, no code fence.
{"signals": [
  {"kind": "risk", "category": "finance", "severity": "high", "text": "what is a risk and why", "sources": [1]}
]}
category is one of finance, legal, governance, operations, market; severity one of critical, high, medium, low.""",
        },
        "validation": {
            "ko": """너는 심사 보고서의 검토자다. 아래 신호(signals)를 자료와 견주어라.
자료가 뒷받침하지 않거나, 되풀이되거나, 심각도가 지나친 신호의 id만 골라 이유와 함께 적어라.
JSON 객체 하나만 답하라: {"drop": [{"id": "s1", "reason": "이유"}], "notes": ["심사역이 알아야 할 점"]}""",
            "en": """You review credit reports. Compare the signals below with the material.
Name the ids of those that the material does not support, that repeat another, or whose severity is exaggerated.
Answer with one JSON object only:
{"drop": [{"id": "s1", "reason": "why"}], "notes": ["what the officer should know"]}""",
        },
        "insight": {
            "ko": """너는 기업 여신 심사역이다. 확인된 신호와 자료만으로 리스크 보고서를 한국어 마크다운으로 써라.
`## 기업 개요`, `## 위험 신호`(심각도 순, 근거 자료 번호 포함), `## 전망과 확인할 점`, `## 종합`의 순서로 쓰고,
제목은 쓰지 마라.
숫자는 자료에 있는 그대로 옮기고, 자료에 없는 판단은 하지 마라.""",
            "en": """You are a credit officer. Write a risk report in English Markdown,
from the checked signals and the material only. Use the sections `## Company`, `## Risk signals`
(by severity, with source numbers), `## Outlook and open questions`, `## Summary`; no title.
Copy figures as they stand, and judge nothing that the material does not support.""",
        },
    }


_FACTS: Mapping[str, Mapping[Language, str]] = {
    "corp_id": {"ko": "기업 번호", "en": "Company id"},
    "corp_name": {"ko": "기업명", "en": "Company"},
    "industry": {"ko": "업종", "en": "Industry"},
    "period": {"ko": "기준 기간", "en": "Period"},
}


def _facts(request: Mapping[str, Json], language: Language) -> Iterator[tuple[str, str]]:
    yield from ((shown[language], request[name]) for name, shown in _FACTS.items() if request.get(name))
    for group in _GROUPS:
        yield from ((name, _shown(value)) for name, value in request[group] if value not in {None, ""})


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.{_ROUNDED}g}"
