"""Where consent is asked for: forms and their versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from consent_service.api import paging
from consent_service.api.acts import Act, authorised
from consent_service.api.blueprints import ApiBlueprint
from consent_service.api.fields import KEY_PATTERN, Channel, Choice, PurposeKey, Timestamp
from consent_service.api.paging import Page, PageQuery, PageQuerySchema
from consent_service.registry import form_definition, forms
from consent_service.registry.form_definition import FIELD_KINDS, FormDefinition
from consent_service.registry.forms import FormVersion

blueprint = ApiBlueprint("forms", __name__, description="Where consent is asked for.")


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form that is to be made."""

    key: str
    definition: FormDefinition


class OfferSchema(ma.Schema):
    """One box: a purpose on a channel. It cannot be ticked beforehand, required or bundled."""

    purpose = PurposeKey(required=True)
    channel = Channel(required=True)


class FieldSchema(ma.Schema):
    """One field of the form, and why it is asked, per language."""

    name = ma.fields.String(required=True)
    kind = Choice(*FIELD_KINDS, required=True)
    required = ma.fields.Boolean(required=True)
    labels = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)
    why = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class DefinitionSchema(ma.Schema):
    """How a form asks."""

    languages = ma.fields.List(
        ma.fields.String(),
        required=True,
        attribute="definition.languages",
        metadata={"description": "BCP 47; the first is the form's own."},
    )
    titles = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.String(), required=True, attribute="definition.titles"
    )
    intros = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.String(), required=True, attribute="definition.intros"
    )
    submit_labels = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.String(), required=True, attribute="definition.submit_labels"
    )
    offers = ma.fields.List(ma.fields.Nested(OfferSchema), required=True, attribute="definition.offers")
    fields_ = ma.fields.List(
        ma.fields.Nested(FieldSchema), required=True, attribute="definition.fields", data_key="fields"
    )
    origins = ma.fields.List(
        ma.fields.String(),
        attribute="definition.origins",
        metadata={"description": "Sites that may embed the form: scheme://host[:port], compared to the letter."},
    )
    return_urls = ma.fields.List(
        ma.fields.String(),
        attribute="definition.return_urls",
        metadata={"description": "Where a plain HTML post may lead back."},
    )
    select_all = ma.fields.Boolean(
        attribute="definition.select_all",
        metadata={"description": "Offer a control, unticked, that ticks all boxes."},
    )

    def load(self, data: Any, **_: Any) -> FormDefinition:  # noqa: ANN401 - marshmallow's signature
        """Read a definition by the registry's own rules, which every door shares."""
        return form_definition.parse(data)


class NewFormSchema(DefinitionSchema):
    """A form that is to be made."""

    key = ma.fields.String(required=True, metadata={"pattern": KEY_PATTERN})

    def load(self, data: Any, **_: Any) -> SentForm:  # type: ignore[override]  # noqa: ANN401 - marshmallow's signature
        """Take the key, and read the rest as the definition."""
        key = data.get("key", "")
        definition = {name: value for name, value in data.items() if name != "key"}
        return SentForm(key=key if isinstance(key, str) else "", definition=form_definition.parse(definition))


class FormSchema(DefinitionSchema):
    """One version of a form."""

    form_id = ma.fields.String(required=True)
    key = ma.fields.String(required=True, attribute="form_key")
    number = ma.fields.Integer(required=True)
    effective_at = Timestamp(required=True)


class FormPageSchema(ma.Schema):
    """One page of forms, each in the version that is in force."""

    data = ma.fields.List(ma.fields.Nested(FormSchema), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


@blueprint.route("/v1/forms", methods=["GET"])
@authorised("registry")
@blueprint.response(200, FormPageSchema)
@blueprint.arguments(PageQuerySchema, location="query")
def list_forms(act: Act, query: PageQuery) -> tuple[Page[FormVersion], int, Mapping[str, str]]:
    """List the forms of the controller by key, each in the version that is in force."""
    allowed = act.api_key.forms
    found = [form for form in forms.list_all(act.session, at=act.at) if allowed is None or form.form_id in allowed]
    page = paging.cut(found, query=query, key=lambda form: form.form_key)
    return page, 200, paging.link(page, query=query, public_url=act.settings.public_url)


@blueprint.route("/v1/forms", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, FormSchema)
@blueprint.arguments(NewFormSchema)
def create_form(act: Act, sent: SentForm) -> FormVersion:
    """Make a form with its first version, in force at once.

    Refused where it ticks a box beforehand, requires or bundles a consent, or offers what no notice tells.
    """
    act.demand_form(None)
    return forms.create(act.session, key=sent.key, definition=sent.definition, actor=act.actor, at=act.at)


@blueprint.route("/v1/forms/<id(frm):form_id>", methods=["GET"])
@authorised("registry")
@blueprint.response(200, FormSchema)
def show_form(act: Act, *, form_id: str) -> FormVersion:
    """Show the version of a form that is in force."""
    act.demand_form(form_id)
    return forms.current(act.session, form_id=form_id, at=act.at)


@blueprint.route("/v1/forms/<id(frm):form_id>/versions", methods=["POST"])
@authorised("registry", changes=True)
@blueprint.response(201, FormSchema)
@blueprint.arguments(DefinitionSchema)
def add_form_version(act: Act, sent: FormDefinition, *, form_id: str) -> FormVersion:
    """Add the next version of a form, in force at once; what earlier versions showed stays as it was."""
    act.demand_form(form_id)
    return forms.add_version(act.session, form_id=form_id, definition=sent, actor=act.actor, at=act.at)
