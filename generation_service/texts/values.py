"""Texts about values: what is wrong with one, and what would have been taken."""

TEXTS: dict[str, dict[str, str]] = {
    "value.missing": {"en": "is needed", "ko": "필수 값입니다"},
    "value.unknown_field": {
        "en": "has a field that is not known here; known fields: {known}",
        "ko": "알 수 없는 필드가 있습니다. 받는 필드: {known}",
    },
    "value.wrong_type": {"en": "takes {expected}", "ko": "{expected} 형식이어야 합니다"},
    "value.too_long": {"en": "takes {limit} characters at most", "ko": "최대 {limit}자까지입니다"},
    "value.too_short": {"en": "takes {limit} characters at least", "ko": "최소 {limit}자 이상이어야 합니다"},
    "value.too_many": {"en": "takes {limit} items at most", "ko": "최대 {limit}개까지입니다"},
    "value.too_few": {"en": "takes {limit} items at least", "ko": "최소 {limit}개 이상이어야 합니다"},
    "value.too_large": {"en": "takes a number up to {limit}", "ko": "{limit} 이하의 수여야 합니다"},
    "value.too_small": {"en": "takes a number from {limit} on", "ko": "{limit} 이상의 수여야 합니다"},
    "value.not_a_choice": {"en": "takes one of: {expected}", "ko": "다음 중 하나여야 합니다: {expected}"},
    "value.wrong_pattern": {
        "en": "has characters or a form that is not taken here",
        "ko": "받을 수 없는 문자나 형식이 있습니다",
    },
    "value.unusable_character": {
        "en": "has a NUL character or half a surrogate pair; leave it out",
        "ko": "NUL 문자나 짝이 없는 서러게이트가 있습니다. 빼고 보내 주세요",
    },
    "value.too_deep": {"en": "is nested more than {limit} levels deep", "ko": "{limit}단계보다 깊이 중첩되어 있습니다"},
    "value.invalid": {"en": "has a value that is not taken here", "ko": "받을 수 없는 값입니다"},
    "value.not_finite": {"en": "takes a finite number", "ko": "유한한 수여야 합니다"},
    "value.type.integer": {"en": "an integer", "ko": "정수"},
    "value.type.number": {"en": "a number", "ko": "숫자"},
    "value.type.boolean": {"en": "true / false", "ko": "true / false"},
    "value.type.list": {"en": "a list", "ko": "목록"},
    "value.type.object": {"en": "an object", "ko": "객체"},
    "value.type.string": {"en": "a string", "ko": "문자열"},
    "value.type.time": {"en": "a time such as 2026-01-31T09:00:00Z", "ko": "2026-01-31T09:00:00Z 같은 시각"},
}
