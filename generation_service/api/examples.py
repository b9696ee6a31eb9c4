"""What the API documentation shows of bodies that are read by hand, and of the event stream."""

from typing import Any

from generation_service.api.requests import RetryRequest
from generation_service.pipeline.recipes import RECIPES

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 printable ASCII characters, quoted or bare; kept for 24 hours at least",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N`: hold the answer until the job has ended, for N seconds (60 at most)",
    "schema": {"type": "string"},
    "example": "wait=10",
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "resume after this event; goes before `after`",
    "schema": {"type": "string", "pattern": r"^\d+$"},
}

_SCRIPT = {
    "project_id": "harbour-lights",
    "recipe": "script",
    "episode_data": {"title": "The letter", "synopsis": "A letter arrives that was sent thirty years ago."},
}
_REPORT = {"project_id": "acme", "recipe": "risk_report", "corp_id": "ACME-001"}


def _body(schema: dict[str, Any], *, required: bool, examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _inlined(model: Any) -> dict[str, Any]:
    """The model's schema on its own, so that its references lead into itself."""
    schema: dict[str, Any] = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/$defs/")
            return resolve(definitions[name]) if name else {key: resolve(value) for key, value in part.items()}
        return [resolve(one) for one in part] if isinstance(part, list) else part

    resolved: dict[str, Any] = resolve(schema)
    return resolved


SUBMIT: dict[str, Any] = {
    "parameters": [_KEY, _PREFER],
    "requestBody": _body(
        {"oneOf": [_inlined(recipe.request) for recipe in RECIPES.values()]},
        required=True,
        examples={"script": {"value": _SCRIPT}, "risk_report": {"value": _REPORT}},
    ),
}
RETRY: dict[str, Any] = {
    "requestBody": _body(
        _inlined(RetryRequest), required=False, examples={"from_step": {"value": {"from_step": "signal"}}}
    )
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the events, as they are committed",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'retry: 1500\n\nid: 1\nevent: status\ndata: {"status":"pending","sequence":1}\n\n',
            }
        },
    },
    204: {"description": "the job has ended and there is nothing behind this event"},
}
FOLLOW: dict[str, Any] = {"parameters": [_LAST_EVENT_ID]}
_TYPES = "PDF, DOCX, PPTX, XLSX, HTML, HWP, HWPX, TXT or Markdown"
_UPLOAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file", "container_id"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": _TYPES},
        "container_id": {"type": "string", "description": "the project whose generations may read it"},
        "use_multimodal": {"type": "boolean", "default": False},
    },
}
UPLOAD: dict[str, Any] = {
    "parameters": [_KEY],
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD_SCHEMA}}},
}
_PROGRAM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": f"each {_TYPES}"},
        "user_id": {"type": "string", "maxLength": 200, "description": "with API_TOKENS set it is the token's user"},
        "container_id": {
            "type": "string",
            "description": "the project whose generations may read them; left out: one of the program's own",
        },
        "use_multimodal": {"type": "boolean", "default": False, "description": "read images of text, too (OCR)"},
    },
}
PROGRAM: dict[str, Any] = {
    "parameters": [_KEY],
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _PROGRAM_SCHEMA}}},
}
