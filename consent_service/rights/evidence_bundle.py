"""Makes evidence bundles: all that proves the declarations of a person, or one of them, in a zip for a stranger.

A bundle is made in one step and one transaction, in memory: it is about one person. Who asked for it is written into
the log with the reason, and so is everybody who fetches it.
"""

import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import log_bundles, trail
from consent_service.audit.log_bundles import BundleFile, SignedLog
from consent_service.audit.logs import Place
from consent_service.audit.trail import Actor
from consent_service.consent import proof_document, receipt
from consent_service.consent.entries import RecordedEntry
from consent_service.consent.proof_document import PrintedEvidence
from consent_service.consent.records import ConsentRecord
from consent_service.errors import ConsentUnknownError, KeyDestroyedError
from consent_service.exports import jobs
from consent_service.exports.jobs import ExportState
from consent_service.exports.making import Step, Wanted
from consent_service.language import catalogues, rendering
from consent_service.registry import controllers
from consent_service.registry.boxes import ShownBox
from consent_service.registry.controllers import Controller
from consent_service.rights import bundle_facts, bundle_readme
from consent_service.rights.bundle_facts import About, BundledConsent, BundleFacts, LoggedEntry
from consent_service.vault import keys

FORMAT: Final = "bundle"
MEDIA_TYPE: Final = "application/zip"
_JSON: Final = orjson.OPT_UTC_Z | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """One entry of the ledger as it is printed, with its place in the log."""

    recorded: RecordedEntry
    place: Place | None


@dataclass(frozen=True, slots=True)
class PrintedConsent:
    """One declaration as it is printed."""

    record: ConsentRecord
    title: str
    address: str | None
    box: ShownBox | None
    pieces: tuple[PrintedEvidence, ...]
    entries: tuple[PrintedLine, ...]


@dataclass(frozen=True, slots=True)
class PrintedEntry:
    """One entry of the log as it is printed; `place` only where it stands under a signed head."""

    entry_id: str
    type: str
    at: datetime
    actor: str | None
    about: str | None
    about_language: str | None
    place: Place | None
    status: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A finished bundle and how many entries of the log it tells about."""

    content: bytes
    entries: int


def ask(session: Session, *, about: About, actor: Actor, at: datetime) -> str:
    """Queue a bundle and return the id of the export.

    It is sealed under the key of its person and goes with it; that of an erased person holds nothing but proofs. Raises
    SubjectUnknownError.
    """
    person = _sealed_for(session, about, at)
    named = {"subject_id": about.subject_id, "consent_id": about.consent_id}
    return jobs.ask(
        session,
        kind="audit",
        parameters={
            "format": FORMAT,
            "purposes": None if about.within is None else sorted(about.within),
            **named,
        },
        said={"format": FORMAT, "subject": about.subject_id, "consent": about.consent_id},
        media_type=MEDIA_TYPE,
        file_name=f"evidence-{about.consent_id or about.subject_id}.zip",
        actor=actor,
        at=at,
        subject_id=person,
    )


def note_asked(
    session: Session, *, said: Mapping[str, Any], actor: Actor, at: datetime, about: About | None = None
) -> None:
    """Write down that a bundle is made where it was asked for, without a job; `about` is the one it is about.

    Raises SubjectUnknownError and ConsentUnknownError.
    """
    export_id = identifiers.new_id("exp", at=at)
    trail.record(
        session,
        type="log.exported",
        at=at,
        actor=actor,
        stream=f"export:{export_id}",
        payload={"export": export_id, "kind": "audit", "format": FORMAT, **said},
        subject_id=None if about is None else _sealed_for(session, about, at),
    )


def _sealed_for(session: Session, about: About, at: datetime) -> str | None:
    """Return whose key a bundle and what is said of it are sealed under; None where it is gone."""
    person = bundle_facts.person_of(session, about=about, at=at)
    return person if person is not None and keys.has_subject_key(session, subject_id=person) else None


def make(session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime, public_url: str) -> Step:
    """Make a bundle that was asked for; see `Maker`."""
    del place
    about = About(
        wanted.parameters["subject_id"], wanted.parameters["consent_id"], within=wanted.parameters["purposes"]
    )
    reason = f"evidence bundle {wanted.export_id} was asked for"
    made = build(
        session, about=about, reason=reason, actor=trail.read_actor(wanted.requested_by), at=at, public_url=public_url
    )
    return Step(made.content, done=made.entries, total=made.entries, place=None)


def note_fetched(session: Session, *, export: ExportState, actor: Actor, at: datetime) -> None:
    """Write down that somebody fetched the opened evidence of a person (GDPR Art. 5(2)).

    Raises KeyDestroyedError where the person was erased meanwhile: the bundle went with their key.
    """
    if export.parameters.get("format") != FORMAT or export.subject_id is None:
        return
    if not keys.has_subject_key(session, subject_id=export.subject_id):
        raise KeyDestroyedError(f"{export.id} was sealed under a key that is gone")
    trail.record(
        session,
        type="evidence.revealed",
        at=at,
        actor=actor,
        stream=f"subject:{export.subject_id}",
        payload={
            "consent": export.parameters.get("consent_id"),
            "subject": export.subject_id,
            "reason": f"evidence bundle {export.id} was fetched",
        },
        subject_id=export.subject_id,
    )


def build(session: Session, *, about: About, reason: str, actor: Actor, at: datetime, public_url: str) -> Bundle:
    """Make a bundle, and write down who looked at evidence and addresses for it, and why.

    Raises ConsentUnknownError and LogUnknownError, the latter while no head of the log was signed.
    """
    signed = log_bundles.signed_logs(session)
    facts = bundle_facts.gather(session, about=about, reason=reason, actor=actor, at=at)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in _files(session, facts, signed, at=at, public_url=public_url):
            write(packed, file, at=at)
    return Bundle(target.getvalue(), len(facts.entries))


def write(packed: zipfile.ZipFile, file: BundleFile, *, at: datetime) -> None:
    """Put a file into a zip."""
    packed.writestr(described(file.path, at=at), file.content)


def described(path: str, *, at: datetime) -> zipfile.ZipInfo:
    """Return how a file stands in a zip: with the time of the bundle, readable by everybody."""
    found = zipfile.ZipInfo(path, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    found.compress_type = zipfile.ZIP_DEFLATED
    found.external_attr = 0o644 << 16
    return found


def _files(
    session: Session, facts: BundleFacts, signed: tuple[SignedLog, ...], *, at: datetime, public_url: str
) -> Iterator[BundleFile]:
    controller = controllers.get(session)
    places = {each.found.entry_id: _place(each, signed) for each in facts.entries}
    yield BundleFile("README.txt", bundle_readme.of_evidence(controller, signed, at=at).encode())
    yield log_bundles.verifier()
    yield from _covers(session, facts, controller, signed, places, at=at)
    for consent in facts.consents:
        yield from _papers(session, consent, public_url=public_url, at=at)
    known = {each.found.entry_id: each for each in facts.entries}
    in_order = [known[entry_id] for entry_id in log_bundles.in_order(places, signed)]
    lines = (log_bundles.opening_line(each.found.entry_id, each.opening) for each in in_order if each.is_shown)
    yield BundleFile(log_bundles.OPENINGS, b"".join(lines))
    for each in signed:
        yield from log_bundles.head_files(session, each, with_proofs=True)
        indexes = {place.index for place in places.values() if place is not None and place.epoch == each.log.epoch}
        yield from log_bundles.proof_files(session, each, indexes=indexes)


def _place(entry: LoggedEntry, signed: Collection[SignedLog]) -> Place | None:
    """Return where an entry stands under a signed head; None while it waits for one."""
    found = entry.found
    if found.epoch is None or found.leaf_index is None:
        return None
    sizes = {each.log.epoch: each.head.size for each in signed}
    return Place(found.epoch, found.leaf_index) if found.leaf_index < sizes.get(found.epoch, 0) else None


def _papers(session: Session, consent: BundledConsent, *, public_url: str, at: datetime) -> Iterator[BundleFile]:
    """Give the evidence of a declaration as JSON, and its receipt where there can be one."""
    consent_id = consent.record.consent_id
    if consent.opened:
        document = proof_document.as_json(consent.opened)
        yield BundleFile(f"evidence/{consent_id}.json", orjson.dumps(document, option=_JSON))
    try:
        told = receipt.build(session, consent_id=consent_id, public_url=public_url, at=at)
    except ConsentUnknownError:
        return
    yield BundleFile(f"receipts/{consent_id}.jsonld", orjson.dumps(told, option=_JSON))


def _covers(
    session: Session,
    facts: BundleFacts,
    controller: Controller,
    signed: tuple[SignedLog, ...],
    places: Mapping[str, Place | None],
    *,
    at: datetime,
) -> Iterator[BundleFile]:
    """Give the cover in every language; the first one is the index."""
    first = catalogues.offered()[0]
    pages = [(code, "index.html" if code == first else f"index.{code}.html") for code in catalogues.offered()]
    titles = {each.record.purpose_id: (_title(each), each.record.language) for each in facts.consents}
    lines = [_line(each, places[each.found.entry_id], titles) for each in facts.entries]
    for code, path in pages:
        html = rendering.render(
            "documents/bundle.html",
            language=code,
            timezone=controller.timezone,
            controller=controller,
            made_at=at,
            facts=facts,
            consents=[_printed(session, each, places, language=code) for each in facts.consents],
            lines=lines,
            heads=signed,
            pages=pages,
        )
        yield BundleFile(path, html.encode())


def _printed(
    session: Session, consent: BundledConsent, places: Mapping[str, Place | None], *, language: str
) -> PrintedConsent:
    return PrintedConsent(
        record=consent.record,
        title=_title(consent),
        address=consent.address,
        box=consent.box,
        pieces=proof_document.printed(session, consent.opened, language=language),
        entries=tuple(PrintedLine(entry, places.get(aud or "")) for entry, aud in consent.logged),
    )


def _title(consent: BundledConsent) -> str:
    """Return what a declaration is called, in the language of the act."""
    return consent.record.purpose if consent.box is None else consent.box.title


def _line(entry: LoggedEntry, place: Place | None, titles: Mapping[str, tuple[str, str | None]]) -> PrintedEntry:
    found = entry.found
    status = found.payload_status if entry.is_shown or found.payload_status != "opened" else "withheld"
    about, language = titles.get(found.purpose_id or "", (None, None))
    return PrintedEntry(found.entry_id, found.type, found.occurred_at, found.actor, about, language, place, status)
