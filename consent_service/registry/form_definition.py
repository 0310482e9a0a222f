"""Answers for how a form asks: its values, and their one spelling as JSON.

A consent here has no state of its own: there is no way to write a box that is ticked, required or tied to something
else, and whoever tries is told so by name (CJEU C-673/17; GDPR Art. 7(2) and 7(4)).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, cast
from urllib.parse import SplitResult, urlsplit

from consent_service.crypto import canonical
from consent_service.errors import FormDefinitionError
from consent_service.registry.documents import Reading, below
from consent_service.registry.notice_content import CHANNELS, KEY

FieldKind = Literal["email", "phone", "text"]

FIELD_KINDS: Final[tuple[FieldKind, ...]] = ("email", "phone", "text")
FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)

_MEMBERS: Final = (
    "languages",
    "titles",
    "intros",
    "submit_labels",
    "offers",
    "fields",
    "origins",
    "return_urls",
    "select_all",
)
_TICKING: Final = ("checked", "default", "selected", "value")
_FORCING: Final = ("required", "mandatory")
_BUNDLING: Final = ("purposes", "channels", "terms", "accepts_terms", "bundled_with", "includes")
_ABOUT_CONSENT: Final = ("purpose", "purposes", "channel", "channels", "consent")
_HTTP: Final = frozenset({"http", "https"})
_DEFAULT_PORTS: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True)
class Offer:
    """One box: a purpose on a channel."""

    purpose: str
    channel: str


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field of the form, with its label and why it is asked, per language."""

    name: str
    kind: FieldKind
    required: bool
    labels: Mapping[str, str]
    why: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FormDefinition:
    """How a form asks.

    `languages` are in the order of preference, the first is the form's own. `origins` are the foreign sites that may
    embed it (`scheme://host[:port]`, compared to the letter); `return_urls` are where a plain HTML post may lead back.
    `select_all` adds an unticked control that ticks all boxes, each of which stays visible.
    """

    languages: tuple[str, ...]
    titles: Mapping[str, str]
    intros: Mapping[str, str]
    submit_labels: Mapping[str, str]
    offers: tuple[Offer, ...]
    fields: tuple[FieldDefinition, ...]
    origins: tuple[str, ...] = ()
    return_urls: tuple[str, ...] = ()
    select_all: bool = False


def parse(document: object) -> FormDefinition:
    """Read a form's definition from JSON; raises FormDefinitionError that names every problem."""
    reading = Reading()
    members = reading.mapping(document, "", known=_MEMBERS)
    definition = FormDefinition(
        languages=reading.items(members.get("languages"), "/languages", read=reading.language),
        titles=MappingProxyType(reading.per_language(members.get("titles"), "/titles")),
        intros=MappingProxyType(reading.per_language(members.get("intros"), "/intros")),
        submit_labels=MappingProxyType(reading.per_language(members.get("submit_labels"), "/submit_labels")),
        offers=reading.items(members.get("offers"), "/offers", read=lambda item, at: _parse_offer(reading, item, at)),
        fields=reading.items(members.get("fields"), "/fields", read=lambda item, at: _parse_field(reading, item, at)),
        origins=reading.items(
            members.get("origins"), "/origins", read=lambda item, at: _parse_origin(reading, item, at)
        ),
        return_urls=reading.items(
            members.get("return_urls"), "/return_urls", read=lambda item, at: _parse_return_url(reading, item, at)
        ),
        select_all=_parse_select_all(reading, members.get("select_all")),
    )
    if reading.problems:
        raise FormDefinitionError(tuple(reading.problems))
    return definition


def serialise(definition: FormDefinition) -> dict[str, object]:
    """Write a form's definition as the JSON that is stored."""
    return {
        "languages": list(definition.languages),
        "titles": dict(definition.titles),
        "intros": dict(definition.intros),
        "submit_labels": dict(definition.submit_labels),
        "offers": [{"purpose": offer.purpose, "channel": offer.channel} for offer in definition.offers],
        "fields": [
            {
                "name": field.name,
                "kind": field.kind,
                "required": field.required,
                "labels": dict(field.labels),
                "why": dict(field.why),
            }
            for field in definition.fields
        ],
        "origins": list(definition.origins),
        "return_urls": list(definition.return_urls),
        "select_all": definition.select_all,
    }


def sha256(definition: FormDefinition) -> bytes:
    """Hash the canonical JSON of a definition (RFC 8785)."""
    return hashlib.sha256(canonical.canonical_json(serialise(definition))).digest()


def _parse_offer(reading: Reading, value: object, at: str) -> Offer:
    members = reading.mapping(value, at, known=("purpose", "channel", *_TICKING, *_FORCING, *_BUNDLING))
    _refuse_any(reading, members, at, names=_TICKING, code="pre_ticked", detail="A box is never ticked beforehand.")
    _refuse_any(reading, members, at, names=_FORCING, code="consent_required", detail="Nobody must tick a box.")
    _refuse_any(
        reading, members, at, names=_BUNDLING, code="bundled_consent", detail="A box asks for one purpose, alone."
    )
    for name in ("purpose", "channel"):
        if isinstance(members.get(name), list | tuple):
            reading.refuse(below(at, name), "bundled_consent", "A box asks for one purpose on one channel.")
            return Offer("", "")
    return Offer(
        purpose=reading.matching(
            members.get("purpose"), below(at, "purpose"), pattern=KEY, detail="A purpose's key is expected here."
        ),
        channel=reading.choice(members.get("channel"), below(at, "channel"), among=CHANNELS),
    )


def _parse_field(reading: Reading, value: object, at: str) -> FieldDefinition:
    members = reading.mapping(value, at, known=("name", "kind", "required", "labels", "why", *_ABOUT_CONSENT))
    _refuse_any(
        reading,
        members,
        at,
        names=_ABOUT_CONSENT,
        code="bundled_consent",
        detail="A field asks for data; consent has a box of its own.",
    )
    return FieldDefinition(
        name=reading.matching(
            members.get("name"), below(at, "name"), pattern=FIELD_NAME, detail="A name such as first_name is expected."
        ),
        kind=cast("FieldKind", reading.choice(members.get("kind"), below(at, "kind"), among=FIELD_KINDS)),
        required=reading.flag(members.get("required"), below(at, "required"), default=False),
        labels=MappingProxyType(reading.per_language(members.get("labels"), below(at, "labels"))),
        why=MappingProxyType(reading.per_language(members.get("why"), below(at, "why"))),
    )


def _parse_select_all(reading: Reading, value: object) -> bool:
    if isinstance(value, Mapping):
        members = reading.mapping(value, "/select_all", known=_TICKING)
        _refuse_any(
            reading,
            members,
            "/select_all",
            names=_TICKING,
            code="select_all_pre_ticked",
            detail="The control that ticks all boxes begins unticked.",
        )
        return True
    return reading.flag(value, "/select_all", default=False)


def _refuse_any(
    reading: Reading, members: Mapping[str, object], at: str, *, names: tuple[str, ...], code: str, detail: str
) -> None:
    # Only a plain `false` says nothing; "off", 0 or null may mean anything to whoever wrote it.
    for name in names:
        if name in members and members[name] is not False:
            reading.refuse(below(at, name), code, detail)


def _parse_origin(reading: Reading, value: object, at: str) -> str:
    text = reading.text(value, at)
    parts = _split(text)
    if parts is None or text != _origin_of(parts):
        reading.refuse(at, "origin_invalid", "An origin is scheme://host[:port], in lower case, and nothing more.")
    return text


def _parse_return_url(reading: Reading, value: object, at: str) -> str:
    text = reading.text(value, at)
    parts = _split(text)
    if parts is None or parts.fragment or not text.startswith(_origin_of(parts)):
        reading.refuse(at, "return_url_invalid", "A full http or https address without a fragment is expected here.")
    return text


def _split(text: str) -> SplitResult | None:
    """Take an address apart, or find that it is not one that a browser would send to the letter."""
    if not text.isascii() or any(letter.isspace() or letter in "*\\" for letter in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    # A browser leaves out a default port and an empty one; what it would not send can never match.
    if parts.scheme not in _HTTP or not parts.hostname or port == _DEFAULT_PORTS[parts.scheme]:
        return None
    if "@" in parts.netloc or parts.netloc.endswith(":"):
        return None
    return parts


def _origin_of(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.lower()}"
