"""Fields of the API's bodies and answers, each with one meaning everywhere."""

import re
from datetime import UTC, date, datetime
from typing import Any, Final

import marshmallow as ma
from marshmallow import validate

from consent_service import identifiers
from consent_service.api.parsing import complaint
from consent_service.consent import sources
from consent_service.errors import IdentifierInvalidError
from consent_service.web import json_answers

#: What the registry takes as a key, in the dialect of JSON Schema.
KEY_PATTERN: Final = "^[a-z][a-z0-9_]{0,62}$"
CHANNELS: Final = ("email", "sms", "phone", "voice_automated", "post", "direct_message", "push", "ads", "web")

PURPOSE_KEY_LONGEST: Final = 100

_RFC_3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)

_FULL_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Identifier(ma.fields.String):
    """An id of one kind, in its one canonical text."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        pattern = f"^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"
        super().__init__(metadata={"pattern": pattern}, **kwargs)
        self.prefix = prefix

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401 - marshmallow's signature
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return identifiers.from_uuid(identifiers.to_uuid(text, self.prefix), self.prefix)
        except IdentifierInvalidError:
            raise ma.ValidationError(
                complaint("identifier_invalid", f"An id that begins with {self.prefix}_ is expected here.")
            ) from None


class Timestamp(ma.fields.Field[datetime]):
    """A moment as RFC 3339 with its offset; answers are in UTC."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401 - marshmallow's signature
        del attr, obj, kwargs
        return None if value is None else json_answers.timestamp(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:  # noqa: ANN401 - marshmallow's signature
        del attr, data, kwargs
        if isinstance(value, str) and _RFC_3339.fullmatch(value):
            try:
                return datetime.fromisoformat(value.upper()).astimezone(UTC)
            except (ValueError, OverflowError):
                pass
        raise ma.ValidationError(complaint("time_invalid", "A time as in 2026-11-23T12:00:00Z is expected here."))


class Day(ma.fields.Field[date]):
    """A day as RFC 3339's full-date."""

    def _serialize(self, value: date | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401 - marshmallow's signature
        del attr, obj, kwargs
        return None if value is None else value.isoformat()

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:  # noqa: ANN401 - marshmallow's signature
        del attr, data, kwargs
        if isinstance(value, str) and _FULL_DATE.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        raise ma.ValidationError(complaint("day_invalid", "A day as in 2026-11-23 is expected here."))


class Flag(ma.fields.Boolean):
    """true or false, and none of the words and numbers that could be taken for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - marshmallow's signature
        del attr, data, kwargs
        if value is True or value is False:
            return bool(value)
        raise self.make_error("invalid", input=value)


class Choice(ma.fields.String):
    """One of a few words."""

    def __init__(self, *choices: str, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        message = complaint("not_a_choice", f"Expected one of: {', '.join(choices)}.")
        super().__init__(validate=validate.OneOf(choices, error=message), **kwargs)


class Text(ma.fields.String):
    """Words, not blank and of a bounded length."""

    def __init__(self, *, longest: int, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        message = complaint("length", f"Between 1 and {longest} characters are expected here.")
        super().__init__(validate=validate.Length(min=1, max=longest, error=message), **kwargs)


class ImportLabel(ma.fields.String):
    """A word for one import, such as `crm-2026-03`."""

    def __init__(self, *, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        pattern = sources.IMPORT_LABEL.pattern
        super().__init__(metadata={"pattern": f"^{pattern}$", **(metadata or {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401 - marshmallow's signature
        text = super()._deserialize(value, attr, data, **kwargs)
        if sources.IMPORT_LABEL.fullmatch(text) is None:
            detail = "A word such as crm-2026-03 is expected here: at most 64 of a-z, 0-9, '.', '_' and '-'."
            raise ma.ValidationError(complaint("import_label_invalid", detail))
        return text


class PurposeKey(Text):
    """The key of a purpose, such as `newsletter`."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        super().__init__(longest=PURPOSE_KEY_LONGEST, **kwargs)


class Channel(Choice):
    """One of the channels."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's options
        super().__init__(*CHANNELS, **kwargs)
