"""Makes the rows of one person, by table, in the text format of COPY."""

import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from bench import people, world
from bench.people import Story
from bench.world import World
from consent_service import identifiers
from consent_service.audit import trail
from consent_service.crypto import blind_index, sealing
from consent_service.crypto.keyring import Key
from consent_service.crypto.sealing import Context

#: What the shortest sealed text takes, in bytes.
NOISE_BYTES: Final = 162
COLUMNS: Final = {
    "subject": "controller_id, id, created_at",
    "vault.subject_key": "controller_id, subject_id, wrapped, created_at",
    "contact_point": "controller_id, id, subject_id, kind, blind_index, sealed, verified_at, holder_from",
    "external_id": "controller_id, system, blind_index, subject_id, sealed, created_at",
    "audit.entry": "controller_id, id, version, type, occurred_at, commit, sealed_for, sealed",
    "audit.entry_about": "controller_id, entry_id, subject_id",
    "audit.stream_head": "controller_id, stream, number, commit",
    "evidence": "controller_id, id, subject_id, consent_id, recorded_at",
    "evidence_part": "controller_id, evidence_id, part, sealed",
    "ledger_entry": (
        "controller_id, id, consent_id, subject_id, contact_point_id, purpose_id, channel, kind, legal_basis,"
        " notice_id, language, evidence_id, evidence_grade, occurred_at, confirmed_at, effective_at, recorded_at,"
        " expires_at, reason, actor, form_id, form_version, audit_entry_id"
    ),
    "objection": "controller_id, id, subject_id, recorded_at, audit_entry_id",
    "suppression": "controller_id, id, address_hash, kind, recorded_at, audit_entry_id",
    "restriction_fact": "controller_id, subject_id, recorded_at, kind, audit_entry_id",
    "customer_relation": (
        "controller_id, id, subject_id, contact_point_id, relation, sold_at, product_category, received_at_sale,"
        " opt_out_offered, recorded_at, audit_entry_id"
    ),
    "notice_delivery": "controller_id, id, subject_id, notice, delivered_at, recorded_at, audit_entry_id",
    "recipient_kind_fact": "controller_id, contact_point_id, recorded_at, kind, audit_entry_id",
    "subject_merge": "controller_id, duplicate_id, survivor_id, merged_at, reason, audit_entry_id",
    "revocation": (
        "controller_id, id, import_label, recorded_until, reason, counted, recorded_at, applied_at, audit_entry_id"
    ),
}
_NONE: Final = r"\N"
_VALID_FOR: Final = timedelta(days=730)


@dataclass(frozen=True, slots=True)
class CompanyKeys:
    """The opened keys of the company, under which the rows are real."""

    kek: Key = field(repr=False)
    index: bytes = field(repr=False)
    suppression: bytes = field(repr=False)


class Rows:
    """Rows in COPY's text format, by table."""

    def __init__(self, company: World, company_keys: CompanyKeys, *, total: int, seed: int) -> None:
        self.of_table: dict[str, list[str]] = {table: [] for table in COLUMNS}
        self._company = company
        self._total = total
        self._keys = company_keys
        self._controller = identifiers.to_uuid(company.controller_id, "ctl").hex
        self._form = identifiers.to_uuid(company.form_id, "frm").hex
        self._purposes = {key: identifiers.to_uuid(value, "pur").hex for key, value in company.purpose_ids.items()}
        self._notices = {key: identifiers.to_uuid(value, "ntc").hex for key, value in company.notice_ids.items()}
        days = world.FIRST_SIGN_UP_DAYS_AGO - 1 - world.LAST_SIGN_UP_DAYS_AGO
        self._step = timedelta(days=days) / total
        self._random = random.Random(seed)  # noqa: S311 - repeatable rows; what must be secret is not drawn here.
        noise = self._random.randbytes(1 << 16)
        self._noise = (noise + noise).hex()

    def add(self, number: int) -> None:
        """Add everything that is known of one person."""
        at = self._company.first_sign_up + number * self._step
        subject = people.subject_hex(number)
        public_id = identifiers.from_uuid(uuid.UUID(subject), "sub")
        own_key = sealing.random_key()
        self._row("subject", subject, at)
        place = Context(self._company.controller_id, "vault.subject_key", "wrapped", public_id)
        wrapped = sealing.wrap_key(self._keys.kek, own_key, context=place)
        self._row("vault.subject_key", subject, _bytes(wrapped), at)
        point = self._add_points(number, subject, public_id, own_key, at)
        self._audit("subject.created", subject, at)
        given = [
            self._add_entry("given", self._id(at), *each, subject=subject, point=point, at=at)
            for each in world.CONSENTS
        ]
        count = 4 + self._add_story(number, given[0], subject=subject, point=point, at=at + timedelta(days=10))
        self._row("audit.stream_head", f"subject:{public_id}", count, self._commitment())

    def _add_points(self, number: int, subject: str, public_id: str, own_key: bytes, at: datetime) -> str:
        address, outside = people.email(number), people.external_id(number)
        point = self._id(at)
        point_id = identifiers.from_uuid(uuid.UUID(point), "cpt")
        blind = blind_index.blind_index(self._keys.index, kind="email", value=address)
        place = Context(self._company.controller_id, "contact_point", "sealed", point_id)
        sealed = sealing.seal(own_key, address.encode(), context=place)
        self._row("contact_point", point, subject, "email", _bytes(blind), _bytes(sealed), at, at)
        blind = blind_index.blind_index(self._keys.index, kind="external_id:crm", value=outside)
        place = Context(self._company.controller_id, "external_id", "sealed", f"crm:{public_id}")
        sealed = sealing.seal(own_key, outside.encode(), context=place)
        self._row("external_id", "crm", _bytes(blind), subject, _bytes(sealed), at)
        return point

    def _add_story(self, number: int, consent: str, *, subject: str, point: str, at: datetime) -> int:
        """Add what came later and return how many audit entries it has in the person's stream."""
        match people.story(number):
            case Story.WITHDREW:
                self._add_entry("withdrawn", consent, *world.CONSENTS[0], subject=subject, point=point, at=at)
            case Story.OBJECTED:
                entry = self._audit("objection.recorded", subject, at)
                self._row("objection", self._id(at), subject, at, entry)
            case Story.RESTRICTED:
                entry = self._audit("subject.restricted", subject, at)
                self._row("restriction_fact", subject, at, "restricted", entry)
            case Story.SUPPRESSED:
                hashed = blind_index.suppression_hash(self._keys.suppression, kind="email", value=people.email(number))
                entry = self._audit("suppression.recorded", None, at)
                self._row("suppression", self._id(at), _bytes(hashed), "objected", at, entry)
                return 0
            case told:
                return self._add_fact(told, number, subject=subject, point=point, at=at)
        return 1

    def _add_fact(self, told: Story, number: int, *, subject: str, point: str, at: datetime) -> int:
        """Add a fact that leaves the yes a yes and return how many audit entries it has in the person's stream."""
        match told:
            case Story.BOUGHT:
                entry = self._audit("customer_relation.recorded", subject, at)
                sale = ("single_purchase", at, "shoes", "true", "true", at)
                self._row("customer_relation", self._id(at), subject, point, *sale, entry)
            case Story.TOLD:
                entry = self._audit("notice_delivery.recorded", subject, at)
                self._row("notice_delivery", self._id(at), subject, "objection", at, at, entry)
            case Story.CLASSIFIED:
                entry = self._audit("recipient_kind.recorded", subject, at)
                self._row("recipient_kind_fact", point, at, "natural_person", entry)
            case Story.MERGED if number + 1 < self._total:
                entry = self._audit("subject.merged", subject, at)
                self._row("subject_merge", subject, people.subject_hex(number + 1), at, "same customer", entry)
            case _:
                return 0
        return 1

    def add_recall(self, at: datetime) -> None:
        """Add the recall of an import that brought nobody: every check must look whether a yes came from there."""
        entry = self._audit("revocation.recorded", None, at)
        self._row("revocation", self._id(at), "spring", at, "defective list", 0, at, at, entry)

    def _add_entry(
        self, kind: str, consent: str, purpose: str, channel: str, *, subject: str, point: str, at: datetime
    ) -> str:
        """Add an act to the ledger and return the declaration's id."""
        is_given, is_confirmed = kind == "given", purpose == "newsletter"
        evidence = self._id(at) if is_given else _NONE
        if is_given:
            self._row("evidence", evidence, subject, consent, at)
            self._row("evidence_part", evidence, "statement", self._sealed())
        self._row(
            "ledger_entry",
            self._id(at),
            consent,
            subject,
            _NONE if channel == "web" else point,
            self._purposes[purpose],
            channel,
            kind,
            "consent",
            self._notices[purpose] if is_given else _NONE,
            "nb" if is_given else _NONE,
            evidence,
            "double_opt_in" if is_given and is_confirmed else "single_opt_in",
            at - timedelta(minutes=5) if is_given else at,
            at if is_given and is_confirmed else _NONE,
            at,
            at,
            at + _VALID_FOR if is_given else _NONE,
            "confirmed" if is_given else "api",
            "subject" if is_given else "system",
            self._form if is_given else _NONE,
            1 if is_given else _NONE,
            self._audit(f"consent.{kind}", subject, at),
        )
        return consent

    def _audit(self, kind: str, subject: str | None, at: datetime) -> str:
        if kind not in trail.TYPES:
            raise ValueError(f"{kind} is no type of the audit log")
        entry = self._id(at)
        owner = "controller" if subject is None else "subject"
        self._row("audit.entry", entry, 1, kind, at, self._commitment(), owner, self._sealed())
        self._row("audit.entry_about", entry, _NONE if subject is None else subject)
        return entry

    def _row(self, table: str, *values: object) -> None:
        self.of_table[table].append(self._controller + "\t" + "\t".join(map(str, values)) + "\n")

    def _id(self, at: datetime) -> str:
        """Return a UUIDv7 in hex (RFC 9562 §5.7)."""
        milliseconds = int(at.timestamp() * 1000)
        drawn = self._random.getrandbits(74)
        return f"{milliseconds << 80 | 7 << 76 | drawn >> 62 << 64 | 2 << 62 | drawn & (1 << 62) - 1:032x}"

    def _sealed(self) -> str:
        begin = self._random.randrange(1 << 17)
        return rf"\\x{self._noise[begin : begin + NOISE_BYTES * 2]}"

    def _commitment(self) -> str:
        return rf"\\x{self._random.getrandbits(256):064x}"


def _bytes(value: bytes) -> str:
    return rf"\\x{value.hex()}"
