"""Reads how a body says who is meant: exactly one of id, email, phone and external id."""

from dataclasses import dataclass, field
from typing import Any, Final

import marshmallow as ma
from marshmallow import validate

from consent_service.api.fields import Identifier, Text
from consent_service.api.parsing import complain, complaint
from consent_service.errors import ContactPointInvalidError
from consent_service.subjects import fields as contact_fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import ExternalReference, SubjectReference

_WAYS: Final = ("id", "email", "phone", "external_id")
_SYSTEM: Final = r"[a-z][a-z0-9_-]{0,62}\Z"


@dataclass(frozen=True, slots=True)
class SentReference:
    """A reference as it was sent; the namespace of an external id may still be that of the caller."""

    id: str | None = None
    contact: ContactValue | None = None
    external_id: str | None = field(default=None, repr=False)
    system: str | None = None
    contact_point: ContactValue | None = None

    def resolve(self, *, system: str) -> SubjectReference:
        """Return the reference, with the caller's own `system` where none was named."""
        external = None
        if self.external_id is not None:
            external = ExternalReference(system=self.system or system, value=self.external_id)
        return SubjectReference(
            id=self.id, contact=self.contact, external_id=external, contact_point=self.contact_point
        )


class _ElectronicSchema(ma.Schema):
    """An e-mail address, or a phone number in E.164 or as dialled in `region`."""

    email = Text(longest=1000)
    phone = Text(longest=1000)
    region = ma.fields.String(
        validate=validate.Regexp(r"[A-Za-z]{2}\Z", error=complaint("region_invalid", "Two letters are expected here.")),
        metadata={
            "pattern": "^[A-Za-z]{2}$",
            "description": "ISO 3166-1 alpha-2; how a national phone number is read.",
        },
    )


class ContactPointSchema(_ElectronicSchema):
    """One contact point: an e-mail address, a phone number, or a postal address."""

    post = Text(
        longest=1000,
        metadata={"description": "A postal address; compared without case, punctuation and extra space."},
    )

    class Meta:
        """What else holds, in the words of JSON Schema."""

        json_schema: Final = {
            "oneOf": [{"required": ["email"]}, {"required": ["phone"]}, {"required": ["post"]}],
            "dependentRequired": {"region": ["phone"]},
        }

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> ContactValue:  # noqa: ANN401 - marshmallow's signature
        if sum(way in data for way in ("email", "phone", "post")) != 1:
            complain("exactly_one", "Exactly one of email, phone and post is expected here.")
        return read_contact(data)


class SubjectReferenceSchema(_ElectronicSchema):
    """Who is meant: exactly one of `id`, `email`, `phone` and `external_id`."""

    id = Identifier("sub")
    external_id = Text(longest=200)
    system = ma.fields.String(
        validate=validate.Regexp(_SYSTEM, error=complaint("invalid", "A system such as crm is expected here.")),
        metadata={
            "pattern": "^[a-z][a-z0-9_-]{0,62}$",
            "description": "The namespace of the external id, where it is not the key's own.",
        },
    )
    contact_point = ma.fields.Nested(
        ContactPointSchema, metadata={"description": "Which contact point is asked about, with `id` or `external_id`."}
    )

    class Meta:
        """What else holds, in the words of JSON Schema."""

        json_schema: Final = {
            "oneOf": [{"required": [way]} for way in _WAYS],
            "dependentRequired": {"region": ["phone"], "system": ["external_id"]},
            "dependentSchemas": {"contact_point": {"anyOf": [{"required": ["id"]}, {"required": ["external_id"]}]}},
        }

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentReference:  # noqa: ANN401 - marshmallow's signature
        ways = [way for way in _WAYS if way in data]
        if len(ways) != 1:
            complain("exactly_one", "Exactly one of id, email, phone and external_id is expected here.")
        way = ways[0]
        if "system" in data and way != "external_id":
            complain("not_together", "A system belongs to an external_id.", field="system")
        if "contact_point" in data and way not in {"id", "external_id"}:
            complain("not_together", "A contact_point belongs to an id or an external_id.", field="contact_point")
        return SentReference(
            id=data.get("id"),
            contact=read_contact(data) if way in {"email", "phone"} else None,
            external_id=data.get("external_id"),
            system=data.get("system"),
            contact_point=data.get("contact_point"),
        )


def read_contact(data: dict[str, Any]) -> ContactValue:
    """Read the one contact point that `data` names; complains about the field that is wrong."""
    if "region" in data and "phone" not in data:
        complain("not_together", "A region belongs to a phone.", field="region")
    try:
        if "email" in data:
            return contact_fields.parse_email(data["email"])
        if "post" in data:
            return contact_fields.parse_post(data["post"])
        return contact_fields.parse_phone(data["phone"], region=data.get("region"))
    except ContactPointInvalidError as error:
        problem = error.problems[0]
        complain(problem.code, problem.detail, field=problem.pointer.removeprefix("/"))
