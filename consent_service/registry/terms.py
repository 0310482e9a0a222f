"""Answers for what may be asked and what must be told: pure rules over notices, forms and purposes.

A notice must tell everything of GDPR Art. 13 in each of its languages before it is published (CAP-06), and a form may
ask only what a notice tells, one box per purpose and channel (CAP-03, CAP-04).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from consent_service.errors import FieldProblem
from consent_service.registry.documents import below
from consent_service.registry.form_definition import FieldDefinition, FormDefinition
from consent_service.registry.notice_content import NoticeContent, NoticeText

#: `existing_customer` is no purpose's own basis: a purpose that asks for consent may admit it beside that.
LEGAL_BASES: Final = ("consent", "explicit_consent", "contract", "legal_obligation", "legitimate_interest")
LONGEST_BALANCING: Final = 4000
LONGEST_VALIDITY_MONTHS: Final = 120

#: Which field of a form tells where a channel reaches the person. `ads` are matched by e-mail; `web` and `push` reach
#: whoever the form's own contact point identifies.
_FIELD_OF_CHANNEL: Final[Mapping[str, str]] = {
    "email": "email",
    "ads": "email",
    "sms": "phone",
    "phone": "phone",
    "voice_automated": "phone",
    "direct_message": "phone",
}

#: Asked by people, at a till or on paper: a postal address cannot be confirmed by a message, so no public page asks.
ASKED_OFFLINE: Final = frozenset({"post"})
_IDENTIFIED_BY_ANY: Final = frozenset({"web", "push"})
_CONTACT_KINDS: Final = ("email", "phone")
_TEXTS: Final = (
    "title",
    "purpose_text",
    "product_types_text",
    "recipients_text",
    "withdrawal_text",
    "privacy_notice_url",
)
_CHANNEL_TEXTS: Final = ("statement", "frequency_text", "short_text")


@dataclass(frozen=True, slots=True)
class OfferedPurpose:
    """What a form must know of a purpose: whether it has ended, and what its notice covers (None: there is none)."""

    is_retired: bool
    channels: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeTerms:
    """On what a purpose rests. Everything that opens a way beside consent is off unless the controller turns it on.

    `age_condition` demands that the person said to be old enough; `existing_customer` admits the exception for
    customers of the goods and services in `product_categories` (markedsføringsloven § 15 third paragraph);
    `reservation_enabled` admits live calls and post to whoever made no reservation (§§ 12 and 13); `balancing` is the
    reference or summary of the recorded balancing of interests (GDPR Art. 6(1)(f)), made on the day `balanced_on`.
    """

    legal_basis: str
    double_opt_in: bool
    special_category: bool = False
    valid_for_months: int | None = None
    age_condition: bool = False
    existing_customer: bool = False
    product_categories: tuple[str, ...] = ()
    reservation_enabled: bool = False
    balancing: str | None = None
    balanced_on: date | None = None


def purpose_problems(terms: PurposeTerms, *, today: date) -> tuple[FieldProblem, ...]:
    """Find everything that is wrong with the terms of a purpose, on a day where the controller is.

    Special categories need explicit consent that is confirmed, and nothing stands in for it (GDPR Art. 9(2)(a)).
    """
    return (*_consent_problems(terms), *_special_problems(terms), *_basis_problems(terms, today))


def _consent_problems(terms: PurposeTerms) -> list[FieldProblem]:
    problems = []
    if terms.legal_basis not in LEGAL_BASES:
        problems.append(FieldProblem("/legal_basis", "not_a_choice", f"Expected one of: {', '.join(LEGAL_BASES)}."))
    months = terms.valid_for_months
    if months is not None and not 1 <= months <= LONGEST_VALIDITY_MONTHS:
        problems.append(
            FieldProblem("/valid_for_months", "out_of_range", f"Expected 1 to {LONGEST_VALIDITY_MONTHS} months.")
        )
    return problems


def _special_problems(terms: PurposeTerms) -> list[FieldProblem]:
    if not terms.special_category:
        return []
    problems = []
    if terms.legal_basis != "explicit_consent":
        problems.append(
            FieldProblem("/legal_basis", "explicit_consent_required", "Special categories need explicit consent.")
        )
    if not terms.double_opt_in:
        problems.append(
            FieldProblem("/double_opt_in", "double_opt_in_required", "Special categories need confirmed consent.")
        )
    problems += [
        FieldProblem(f"/{name}", "explicit_consent_required", "Nothing stands in for consent to special categories.")
        for name in ("existing_customer", "product_categories", "reservation_enabled", "balancing", "balanced_on")
        if getattr(terms, name)
    ]
    return problems


def _basis_problems(terms: PurposeTerms, today: date) -> list[FieldProblem]:
    problems = _repeated(terms.product_categories, "/product_categories")
    if terms.existing_customer and not terms.product_categories:
        detail = "Name the goods and services that existing customers hear about."
        problems.append(FieldProblem("/product_categories", "missing", detail))
    if terms.balancing is None and (terms.legal_basis == "legitimate_interest" or terms.reservation_enabled):
        detail = "A basis without consent needs the recorded balancing of interests."
        problems.append(FieldProblem("/balancing", "missing", detail))
    elif terms.balancing is None and terms.balanced_on is not None:
        problems.append(FieldProblem("/balancing", "missing", "There is a day of the balancing, and no balancing."))
    if terms.balancing is not None and terms.balanced_on is None:
        problems.append(FieldProblem("/balanced_on", "missing", "Say on which day the interests were balanced."))
    if terms.balanced_on is not None and terms.balanced_on > today:
        problems.append(FieldProblem("/balanced_on", "in_the_future", "The balancing comes before the use."))
    return problems


def notice_gaps(
    content: NoticeContent, *, controller_name: str, controller_contact: str, known_recipients: Iterable[str]
) -> tuple[FieldProblem, ...]:
    """List everything that a notice lacks before it may be published, each with its place (CAP-06)."""
    problems = []
    if not controller_name:
        problems.append(_missing("/controller/legal_name"))
    if not controller_contact:
        problems.append(_missing("/controller/privacy_contact"))
    problems += [
        _missing(f"/{name}") for name in ("channels", "data_categories", "languages") if not getattr(content, name)
    ]
    known = frozenset(known_recipients)
    problems += [
        FieldProblem(f"/recipients/{place}", "recipient_unknown", "There is no recipient with this key.")
        for place, key in enumerate(content.recipients)
        if key not in known
    ]
    for language, text in content.languages.items():
        problems += _gaps_of_language(content, text, below("/languages", language))
    return tuple(problems)


def publication_problems(*, material: bool, reason: str) -> tuple[FieldProblem, ...]:
    """Find what the decision to publish lacks: calling a change immaterial must be justified (CAP-08)."""
    if material or reason.strip():
        return ()
    return (FieldProblem("/reason", "missing", "A change that is not material needs a reason."),)


def form_problems(definition: FormDefinition, *, purposes: Mapping[str, OfferedPurpose]) -> tuple[FieldProblem, ...]:
    """List what is wrong with a form as a whole; what it says item by item was refused when it was read."""
    return (
        *_language_problems(definition),
        *_offer_problems(definition, purposes),
        *_field_problems(definition),
    )


def _gaps_of_language(content: NoticeContent, text: NoticeText, at: str) -> list[FieldProblem]:
    problems = [_missing(below(at, name)) for name in _TEXTS if not getattr(text, name)]
    if text.privacy_notice_url and not _is_web_address(text.privacy_notice_url):
        problems.append(
            FieldProblem(below(at, "privacy_notice_url"), "not_an_address", "A full http or https address is needed.")
        )
    if len(text.data_categories) != len(content.data_categories) or not all(text.data_categories):
        problems.append(
            FieldProblem(
                below(at, "data_categories"), "missing", "Each data category needs words in this language, in order."
            )
        )
    for channel in content.channels:
        place = below(below(at, "channels"), channel)
        words = text.channels.get(channel)
        problems += [
            _missing(below(place, name)) for name in _CHANNEL_TEXTS if words is None or not getattr(words, name)
        ]
    problems += [
        FieldProblem(below(below(at, "channels"), channel), "channel_not_listed", "The notice has no such channel.")
        for channel in text.channels
        if channel not in content.channels
    ]
    return problems


def _language_problems(definition: FormDefinition) -> list[FieldProblem]:
    problems = _repeated(definition.languages, "/languages")
    if not definition.languages:
        problems.append(_missing("/languages"))
    named: list[tuple[str, Mapping[str, str]]] = [
        ("/titles", definition.titles),
        ("/intros", definition.intros),
        ("/submit_labels", definition.submit_labels),
    ]
    for place, field in enumerate(definition.fields):
        named += [(f"/fields/{place}/labels", field.labels), (f"/fields/{place}/why", field.why)]
    for at, texts in named:
        problems += [_missing(below(at, language)) for language in definition.languages if not texts.get(language)]
        problems += [
            FieldProblem(below(at, language), "language_not_listed", "The form is not in this language.")
            for language in texts
            if language not in definition.languages
        ]
    return problems


def _offer_problems(definition: FormDefinition, purposes: Mapping[str, OfferedPurpose]) -> list[FieldProblem]:
    problems = _repeated(definition.offers, "/offers")
    if not definition.offers:
        problems.append(_missing("/offers"))
    kinds = {field.kind for field in definition.fields}
    for place, offer in enumerate(definition.offers):
        at = f"/offers/{place}"
        purpose = purposes.get(offer.purpose)
        if purpose is None:
            problems.append(FieldProblem(f"{at}/purpose", "purpose_unknown", "There is no such purpose."))
        elif purpose.is_retired:
            problems.append(FieldProblem(f"{at}/purpose", "purpose_retired", "This purpose is no longer used."))
        elif purpose.channels is None:
            problems.append(FieldProblem(f"{at}/purpose", "notice_missing", "This purpose has no notice yet."))
        elif offer.channel not in purpose.channels:
            problems.append(
                FieldProblem(f"{at}/channel", "channel_not_offered", "The purpose's notice has no such channel.")
            )
        if not _can_reach(offer.channel, kinds):
            problems.append(
                FieldProblem(
                    f"{at}/channel", "contact_field_missing", "The form does not ask where to reach the person."
                )
            )
    return problems


def _field_problems(definition: FormDefinition) -> list[FieldProblem]:
    problems = _repeated([field.name for field in definition.fields], "/fields")
    problems += [
        FieldProblem(
            f"/fields/{place}/name", "name_and_kind_differ", "email and phone are each one field of that kind."
        )
        for place, field in enumerate(definition.fields)
        if not _name_fits(field)
    ]
    return problems


def _name_fits(field: FieldDefinition) -> bool:
    # The doors post `email` and `phone` under these names, and everything else as `field_<name>`.
    return field.name == field.kind or (field.kind == "text" and field.name not in _CONTACT_KINDS)


def _can_reach(channel: str, kinds: Iterable[str]) -> bool:
    if channel in ASKED_OFFLINE:
        return True
    if channel in _IDENTIFIED_BY_ANY:
        return any(kind in kinds for kind in _CONTACT_KINDS)
    return _FIELD_OF_CHANNEL.get(channel) in set(kinds)


def _repeated(values: Iterable[object], at: str) -> list[FieldProblem]:
    items = list(values)
    return [
        FieldProblem(f"{at}/{place}", "repeated", "This is in the list already.")
        for place, value in enumerate(items)
        if value in items[:place]
    ]


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not any(letter.isspace() for letter in text)


def _missing(at: str) -> FieldProblem:
    return FieldProblem(at, "missing", "This must be said before people can be asked.")
