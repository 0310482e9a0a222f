"""Why data is used, and what people are told about it: purposes and the versions of their notices."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import marshmallow as ma
from marshmallow import validate
from sqlalchemy.orm import Session

from consent_service.api import paging
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import CHANNELS, KEY_PATTERN, Choice, Day, Flag, PurposeKey, Text, Timestamp
from consent_service.api.paging import Page, PageQuery, PageQuerySchema
from consent_service.api.parsing import complaint
from consent_service.errors import BasisUnchangeableError
from consent_service.registry import notice_content, notices, purpose_settings, purposes, terms
from consent_service.registry.notice_content import NoticeContent
from consent_service.registry.notices import NoticeVersion
from consent_service.registry.purpose_settings import FormerSettings
from consent_service.registry.purposes import Purpose

_LONGEST_REASON: Final = 1000
_MOST_CATEGORIES: Final = 100

blueprint = ApiBlueprint("purposes", __name__, description="Why data is used, and what people are told about it.")


@dataclass(frozen=True, slots=True)
class ShownPurpose:
    """A purpose with the number of the notice version that is in force, and all versions where they are asked for."""

    purpose: Purpose
    version_in_force: int | None
    notice_versions: tuple[NoticeVersion, ...] = ()
    former_settings: tuple[FormerSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class SentSettings:
    """Settings of a purpose as they were sent: those that shall change."""

    legal_basis: str | None
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentPublication:
    """The decision to publish."""

    material: bool
    reason: str = ""
    effective_at: datetime | None = None


class ChannelTextSchema(ma.Schema):
    """What one box says in one language."""

    statement = ma.fields.String(required=True, metadata={"description": "The first-person sentence at the box."})
    frequency_text = ma.fields.String(required=True)
    short_text = ma.fields.String(required=True, metadata={"description": "A short name of the channel."})


class NoticeTextSchema(ma.Schema):
    """Everything the person is told in one language (GDPR Art. 13)."""

    title = ma.fields.String(required=True)
    purpose_text = ma.fields.String(required=True)
    data_categories = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "The notice's data categories in words, in order."}
    )
    product_types_text = ma.fields.String(required=True)
    recipients_text = ma.fields.String(
        required=True, metadata={"description": "Who gets the data, or that nobody does."}
    )
    withdrawal_text = ma.fields.String(required=True)
    privacy_notice_url = ma.fields.String(required=True)
    channels = ma.fields.Dict(
        keys=ma.fields.String(metadata={"enum": list(CHANNELS)}),
        values=ma.fields.Nested(ChannelTextSchema),
        required=True,
    )


class NoticeContentSchema(ma.Schema):
    """What a notice tells, in all its languages. A draft may lack texts; publishing lists what is missing."""

    channels = ma.fields.List(Choice(*CHANNELS), required=True)
    data_categories = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "DPV terms such as pd:EmailAddress."}
    )
    recipients = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "Keys of recipients; empty where there is none."}
    )
    languages = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Nested(NoticeTextSchema), required=True)

    def load(self, data: Any, **_: Any) -> NoticeContent:  # noqa: ANN401 - marshmallow's signature
        """Read a content by the registry's own rules, which every door shares."""
        return notice_content.parse(data)


class PublicationSchema(ma.Schema):
    """When a version was put in force, and whether people must consent anew."""

    material = ma.fields.Boolean(required=True)
    reason = ma.fields.String(required=True)
    published_at = Timestamp(required=True)
    effective_at = Timestamp(required=True)


class NoticeVersionSchema(ma.Schema):
    """One edition of a notice; without a publication it is a draft."""

    notice_id = ma.fields.String(required=True, attribute="id")
    purpose = ma.fields.String(required=True, attribute="purpose_key")
    number = ma.fields.Integer(required=True)
    content_sha256 = ma.fields.Function(lambda version: version.content_sha256.hex(), metadata={"type": "string"})
    created_at = Timestamp(required=True)
    publication = ma.fields.Nested(PublicationSchema, required=True, allow_none=True)
    content = ma.fields.Nested(NoticeContentSchema, required=True)


class BesideConsentSchema(ma.Schema):
    """What a purpose admits beside consent; all of it is off unless it is turned on."""

    age_condition = Flag(metadata={"description": "Only for people who said to be old enough (GDPR Art. 8)."})
    existing_customer = Flag(
        metadata={"description": "Admit the exception for existing customers; needs product categories."}
    )
    product_categories = ma.fields.List(
        Text(longest=63, metadata={"pattern": KEY_PATTERN}),
        validate=validate.Length(max=_MOST_CATEGORIES, error=complaint("too_many", f"At most {_MOST_CATEGORIES}.")),
        metadata={
            "description": "Keys of the goods and services that existing customers hear about.",
            "uniqueItems": True,
        },
    )
    reservation_enabled = Flag(
        metadata={"description": "Admit live calls and post to whoever made no reservation; needs a balancing."}
    )
    balancing = Text(
        longest=terms.LONGEST_BALANCING,
        allow_none=True,
        metadata={"description": "Reference or summary of the recorded balancing of interests (GDPR Art. 6(1)(f))."},
    )
    balanced_on = Day(allow_none=True, metadata={"description": "The day of the balancing."})


class NewPurposeSchema(BesideConsentSchema):
    """A purpose that is to be made; its texts follow as a notice version."""

    key = PurposeKey(required=True, metadata={"pattern": KEY_PATTERN})
    legal_basis = Choice(*terms.LEGAL_BASES, load_default="consent")
    double_opt_in = Flag(load_default=True, metadata={"description": "Confirm what a system reports, too."})
    special_category = Flag(load_default=False, metadata={"description": "GDPR Art. 9."})
    valid_for_months = ma.fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"minimum": 1, "maximum": terms.LONGEST_VALIDITY_MONTHS},
    )


class ChangedSettingsSchema(BesideConsentSchema):
    """What a purpose shall admit from now on; what is left out stays."""

    legal_basis = Choice(
        *terms.LEGAL_BASES, metadata={"description": "Only the one that the purpose has: it is never exchanged."}
    )

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentSettings:  # noqa: ANN401 - marshmallow's signature
        return SentSettings(legal_basis=data.pop("legal_basis", None), changes=data)


class FormerSettingsSchema(ma.Schema):
    """What a purpose admitted until a moment."""

    held_until = Timestamp(required=True)
    age_condition = ma.fields.Boolean(required=True)
    existing_customer = ma.fields.Boolean(required=True)
    product_categories = ma.fields.List(ma.fields.String(), required=True)
    reservation_enabled = ma.fields.Boolean(required=True)
    balancing = ma.fields.String(required=True, allow_none=True)
    balanced_on = Day(required=True, allow_none=True)


class PurposeSchema(ma.Schema):
    """A purpose."""

    purpose_id = ma.fields.String(required=True, attribute="purpose.id")
    key = ma.fields.String(required=True, attribute="purpose.key")
    legal_basis = ma.fields.String(required=True, attribute="purpose.legal_basis")
    double_opt_in = ma.fields.Boolean(required=True, attribute="purpose.double_opt_in")
    special_category = ma.fields.Boolean(required=True, attribute="purpose.special_category")
    valid_for_months = ma.fields.Integer(required=True, allow_none=True, attribute="purpose.valid_for_months")
    age_condition = ma.fields.Boolean(required=True, attribute="purpose.age_condition")
    existing_customer = ma.fields.Boolean(required=True, attribute="purpose.existing_customer")
    product_categories = ma.fields.List(ma.fields.String(), required=True, attribute="purpose.product_categories")
    reservation_enabled = ma.fields.Boolean(required=True, attribute="purpose.reservation_enabled")
    balancing = ma.fields.String(required=True, allow_none=True, attribute="purpose.balancing")
    balanced_on = Day(required=True, allow_none=True, attribute="purpose.balanced_on")
    created_at = Timestamp(required=True, attribute="purpose.created_at")
    retired_at = Timestamp(required=True, allow_none=True, attribute="purpose.retired_at")
    version_in_force = ma.fields.Integer(required=True, allow_none=True)


class PurposeWithNoticesSchema(PurposeSchema):
    """A purpose with all versions of its notice, drafts included, and what it admitted before."""

    former_settings = ma.fields.List(ma.fields.Nested(FormerSettingsSchema), required=True)

    notice_versions = ma.fields.List(ma.fields.Nested(NoticeVersionSchema), required=True)


class PurposePageSchema(ma.Schema):
    """One page of purposes."""

    data = ma.fields.List(ma.fields.Nested(PurposeSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class NewPublicationSchema(ma.Schema):
    """The decision to publish; whether the change is material has no default."""

    material = Flag(required=True, metadata={"description": "Whether everybody must be asked for consent anew."})
    reason = ma.fields.String(
        validate=validate.Length(max=_LONGEST_REASON, error=complaint("too_long", "The reason is too long.")),
        metadata={"description": "Why the change is not material; demanded where it is not."},
    )
    effective_at = Timestamp(allow_none=True, metadata={"description": "From when; now where it is left out."})

    @ma.post_load
    def _read(self, data: dict[str, Any], **_: Any) -> SentPublication:  # noqa: ANN401 - marshmallow's signature
        return SentPublication(**data)


@blueprint.route("/v1/purposes", methods=["GET"])
@authorised("registry")
@blueprint.response(200, PurposePageSchema)
@blueprint.arguments(PageQuerySchema, location="query")
def list_purposes(act: Act, query: PageQuery) -> tuple[Page[ShownPurpose], int, Mapping[str, str]]:
    """List the purposes of the controller by key, retired ones included."""
    found = [purpose for purpose in purposes.list_all(act.session) if act.may_use(purpose.key)]
    page = paging.cut(found, query=query, key=lambda purpose: purpose.key)
    keys = [purpose.key for purpose in page.data]
    in_force = notices.current_of_all(act.session, purpose_keys=keys, at=act.at)
    shown = [
        ShownPurpose(purpose, in_force[purpose.key].number if purpose.key in in_force else None)
        for purpose in page.data
    ]
    return Page(shown, page.next_cursor), 200, paging.link(page, query=query, public_url=act.settings.public_url)


@blueprint.route("/v1/purposes", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, PurposeSchema)
@blueprint.arguments(NewPurposeSchema)
def create_purpose(act: Act, sent: dict[str, Any]) -> ShownPurpose:
    """Make a purpose; people can be asked once a notice version is published."""
    act.demand_purpose(sent["key"])
    return ShownPurpose(purposes.create(act.session, **sent, actor=act.actor, at=act.at), None)


@blueprint.route("/v1/purposes/<key>", methods=["GET"])
@authorised("registry")
@blueprint.response(200, PurposeWithNoticesSchema)
def show_purpose(act: Act, *, key: str) -> ShownPurpose:
    """Show a purpose with all versions of its notice."""
    act.demand_purpose(key)
    current = notices.current(act.session, purpose_key=key, at=act.at)
    return ShownPurpose(
        purpose=purposes.get(act.session, key=key),
        version_in_force=None if current is None else current.number,
        notice_versions=notices.list_versions(act.session, purpose_key=key),
        former_settings=purpose_settings.list_former(act.session, key=key),
    )


@blueprint.route("/v1/purposes/<key>/settings", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(200, PurposeSchema)
@blueprint.arguments(ChangedSettingsSchema)
def change_settings(act: Act, sent: SentSettings, *, key: str) -> ShownPurpose:
    """Change what a purpose admits beside consent, from now on.

    What is left out stays. Another legal basis is refused, and the attempt written into the audit log.
    """
    act.demand_purpose(key)
    if sent.legal_basis is not None:
        _demand_same_basis(act, key, sent.legal_basis)
    changed = purpose_settings.change(act.session, key=key, changes=sent.changes, actor=act.actor, at=act.at)
    current = notices.current(act.session, purpose_key=key, at=act.at)
    return ShownPurpose(changed, None if current is None else current.number)


@blueprint.route("/v1/purposes/<key>/notice-versions", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, NoticeVersionSchema)
@blueprint.arguments(NoticeContentSchema)
def draft_notice(act: Act, sent: NoticeContent, *, key: str) -> NoticeVersion:
    """Draft the next version of a purpose's notice; it may lack texts until it is published."""
    act.demand_purpose(key)
    return notices.draft(act.session, purpose_key=key, content=sent, actor=act.actor, at=act.at)


@blueprint.route("/v1/purposes/<key>/notice-versions/<int(max=2147483647):number>/publish", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(200, NoticeVersionSchema)
@blueprint.arguments(NewPublicationSchema)
def publish_notice(act: Act, sent: SentPublication, *, key: str, number: int) -> NoticeVersion:
    """Put a version in force; it never changes after.

    Refused with the list of what is missing while any of its languages lacks what a person must be told.
    """
    act.demand_purpose(key)
    return notices.publish(
        act.session,
        purpose_key=key,
        number=number,
        material=sent.material,
        reason=sent.reason,
        effective_at=sent.effective_at,
        actor=act.actor,
        at=act.at,
    )


def _demand_same_basis(act: Act, key: str, legal_basis: str) -> None:
    try:
        purpose_settings.demand_same_basis(act.session, key=key, legal_basis=legal_basis)
    except BasisUnchangeableError:

        def note(session: Session) -> None:
            purpose_settings.record_refused_basis(session, key=key, legal_basis=legal_basis, actor=act.actor, at=act.at)

        act.note_if_refused(note)
        raise
