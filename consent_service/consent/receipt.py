"""Writes consent receipts: JSON-LD after ISO/IEC TS 27560:2023 and DPV 2.3, and the same to read and print.

A receipt names the person by a pseudonym and holds no address (REC-05). Its id is drawn from its content, so that an
id stands for one content for ever: a change of state gives another receipt and leaves the earlier one as it was, which
`at` brings back (REC-02).
"""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import receipt_facts, rules
from consent_service.consent.receipt_facts import ReceiptFacts, StateChange
from consent_service.crypto import canonical
from consent_service.language import rendering

MEDIA_TYPE: Final = "application/ld+json"

_CONTEXT: Final = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "loc": "https://w3id.org/dpv/loc#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "legal-eu": "https://w3id.org/dpv/legal/eu#",
    "legal-no": "https://w3id.org/dpv/legal/no#",
    "dct": "http://purl.org/dc/terms/",
    "schema": "https://schema.org/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_RECEIPT_PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
_RECORD_PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
_AUTHORITIES: Final = {"NO": "legal-no:DPA-NO"}
#: Rights that are asked for at the controller; taking consent back has a page of its own.
_RIGHTS: Final = ("eu-gdpr:A15", "eu-gdpr:A17", "eu-gdpr:A21")

_Node = dict[str, Any]


def build(session: Session, *, consent_id: str, public_url: str, at: datetime) -> _Node:
    """Return the receipt of a declaration as JSON-LD, as it stood at a moment (GDPR Art. 7(1)).

    Raises ConsentUnknownError, also where nothing was asked that a receipt could be given for.
    """
    return document(receipt_facts.gather(session, consent_id=consent_id, public_url=public_url, at=at))


def render_html(session: Session, *, consent_id: str, public_url: str, language: str, at: datetime) -> str:
    """Return the receipt as one page to read and print, which needs nothing else; raises ConsentUnknownError."""
    facts = receipt_facts.gather(session, consent_id=consent_id, public_url=public_url, at=at)
    return rendering.render(
        "documents/receipt.html",
        language=language,
        timezone=facts.controller.timezone,
        controller=facts.controller,
        facts=facts,
        record=facts.record,
        box=facts.box,
        receipt_id=document(facts)["dct:identifier"],
    )


def document(facts: ReceiptFacts) -> _Node:
    """Write a receipt from its facts; equal facts give equal bytes."""
    content: _Node = {
        "@context": dict(_CONTEXT),
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": _iri(_RECEIPT_PROFILE),
        "dct:created": _time(facts.states[-1].since),
        "dct:publisher": _iri(_organisation(facts)),
        "dpv:hasRecordOfActivity": [_record(facts)],
    }
    digest = hashlib.sha256(canonical.canonical_json(content)).digest()
    receipt_id = str(receipt_facts.custom_uuid(digest))
    named: _Node = {"@id": f"{facts.public_url}/receipts/{receipt_id}", "dct:identifier": receipt_id}
    return {"@context": content["@context"], **named, **content}


def _record(facts: ReceiptFacts) -> _Node:
    record_id = str(identifiers.to_uuid(facts.record.consent_id, "con"))
    authority = _AUTHORITIES.get(facts.controller.country)
    return {
        "@id": f"{facts.public_url}/records/{record_id}",
        "@type": "dpv:ConsentRecord",
        "dct:identifier": record_id,
        "dpv:hasIdentifier": [record_id, facts.record.consent_id],
        "dct:conformsTo": _iri(_RECORD_PROFILE),
        "dpv:hasDataSubject": {"@id": _subject(facts), "@type": "dpv:DataSubject"},
        "dpv:hasDataController": _iri(_organisation(facts)),
        "dpv:hasEntity": [_controller(facts), *_recipient_entities(facts)],
        "dpv:hasJurisdiction": _iri(f"loc:{facts.controller.country}"),
        "dpv:hasApplicableLaw": _iri("legal-eu:law-GDPR"),
        "dpv:hasLegalBasis": _iri("eu-gdpr:A9-2-a" if facts.is_explicit else "eu-gdpr:A6-1-a"),
        **({} if authority is None else {"dpv:hasAuthority": _iri(authority)}),
        "dpv:hasNotice": _notice(facts),
        "dpv:hasProcess": [_process(facts)],
        "dpv:hasRight": _rights(facts),
        "dpv:hasConsentStatus": [_status(facts, state) for state in facts.states],
    }


def _controller(facts: ReceiptFacts) -> _Node:
    controller = facts.controller
    return {
        "@id": _organisation(facts),
        "@type": ["dpv:Organisation", "dpv:DataController"],
        "dpv:hasName": controller.legal_name,
        "dpv:hasIdentifier": f"{controller.country} {controller.organisation_number}",
        "dpv:hasAddress": controller.postal_address,
        "dpv:hasContact": controller.privacy_contact,
    }


def _recipient_entities(facts: ReceiptFacts) -> list[_Node]:
    return [
        {
            "@id": _own(facts, f"recipients/{recipient.key}"),
            "@type": ["dpv:Organisation"],
            "dpv:hasName": recipient.legal_name,
            "dpv:hasLocation": _iri(f"loc:{recipient.country}"),
        }
        for recipient in facts.recipients
    ]


def _notice(facts: ReceiptFacts) -> _Node:
    publication = facts.notice.publication
    published_at = facts.notice.created_at if publication is None else publication.published_at
    return {
        "@id": _own(facts, f"notices/{facts.notice.purpose_key}/{facts.notice.number}"),
        "@type": "dpv:ConsentNotice",
        "dct:language": facts.record.language,
        "dct:date": published_at.astimezone(UTC).date().isoformat(),
        "schema:sha256": facts.notice.content_sha256.hex(),
    }


def _process(facts: ReceiptFacts) -> _Node:
    recipients = [_organisation(facts), *(entity["@id"] for entity in _recipient_entities(facts))]
    return {
        "@type": "dpv:Process",
        "dct:title": f"{facts.box.title} – {facts.box.short_text}",
        "dpv:hasPurpose": {
            "@id": _own(facts, f"purposes/{facts.notice.purpose_key}/{facts.notice.number}"),
            "@type": "dpv:Purpose",
            "dct:description": facts.box.purpose_text,
        },
        "dpv:hasPersonalData": [_iri(category) for category in facts.notice.content.data_categories],
        "dpv:hasRecipient": [_iri(recipient) for recipient in recipients],
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dpv:hasLocation": _iri(f"loc:{facts.controller.country}")},
            {"@type": "dpv:StorageDuration", "dpv:hasDuration": _duration(facts)},
        ],
        "dpv:hasConsentControl": {"@type": ["dpv:WithdrawConsent"], "dpv:isExercisedAt": _iri(facts.choices_url)},
    }


def _rights(facts: ReceiptFacts) -> list[_Node]:
    contact = facts.controller.privacy_contact
    asked_at = _iri(f"mailto:{contact}") if "@" in contact else contact
    return [
        {"@type": ["dpv:DataSubjectRight", "eu-gdpr:A7-3"], "dpv:isExercisedAt": _iri(facts.choices_url)},
        *({"@type": ["dpv:DataSubjectRight", right], "dpv:isExercisedAt": asked_at} for right in _RIGHTS),
    ]


def _status(facts: ReceiptFacts, state: StateChange) -> _Node:
    types = [f"dpv:{rules.DPV_STATUS[state.status]}"]
    node: _Node = {
        "@type": types,
        "dpv:isIndicatedBy": _iri(_subject(facts) if state.indicated_by == "subject" else _organisation(facts)),
        "dpv:isIndicatedAtTime": _time(state.since),
    }
    if state.method is not None:
        node["dpv:hasIndicationMethod"] = state.method
    if state.status in rules.GIVEN:
        types.append("dpv:ExplicitlyExpressedConsent" if facts.is_explicit else "dpv:ExpressedConsent")
        node["dpv:hasDuration"] = _duration(facts)
    return node


def _duration(facts: ReceiptFacts) -> _Node:
    months = facts.box.valid_for_months
    if months is None:
        return {"@type": "dpv:UntilEventDuration", "rdf:value": "until the consent is withdrawn"}
    return {"@type": "dpv:TemporalDuration", "rdf:value": f"P{months}M"}


def _subject(facts: ReceiptFacts) -> str:
    return facts.subject.urn


def _organisation(facts: ReceiptFacts) -> str:
    return f"{facts.public_url}/controllers/{facts.controller.key}#org"


def _own(facts: ReceiptFacts, path: str) -> str:
    """Name a thing of this controller; another controller of the installation may use the same key."""
    return f"{facts.public_url}/controllers/{facts.controller.key}/{path}"


def _iri(iri: str) -> _Node:
    return {"@id": iri}


def _time(moment: datetime) -> _Node:
    return {"@value": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"), "@type": "xsd:dateTime"}
