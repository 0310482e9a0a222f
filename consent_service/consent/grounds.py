"""What a decision rests on and what it says, as values: gathered once, judged by the rules, changed by nobody."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Entry:
    """What the rules need of one ledger entry of the series.

    `age_at_least` is the age that the person said to have reached, in years; `by_guardian` says that a guardian acted.
    """

    kind: str
    consent_id: str
    effective_at: datetime
    occurred_at: datetime
    confirmed_at: datetime | None
    expires_at: datetime | None
    legal_basis: str
    evidence_grade: str
    notice_number: int | None
    language: str | None
    recipients: tuple[str, ...] = ()
    age_at_least: int | None = None
    by_guardian: bool = False
    ledger_entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """An objection or suppression that covers this purpose and channel."""

    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """What the registry says of the purpose on the channel at the moment that is asked about.

    `is_balanced` says that the balancing of interests is on record (GDPR Art. 6(1)(f)); it is also the basis that the
    reservation regime needs. `product_categories` are the goods and services that the purpose advertises.
    """

    legal_basis: str
    double_opt_in: bool
    special_category: bool
    recipients: tuple[str, ...]
    age_condition: bool = False
    existing_customer: bool = False
    product_categories: tuple[str, ...] = ()
    is_balanced: bool = False
    reservation_enabled: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """One recorded fact of a customer relation, and what was true of the contact point at the sale.

    `relation` is `subscription`, `membership`, `repeated_purchases` or `single_purchase` (markedsføringsloven § 15
    third paragraph). Of several facts of one relation and category, the one that was recorded last holds.
    """

    relation: str
    sold_at: datetime
    product_category: str
    received_at_sale: bool
    opt_out_offered: bool
    active_until: datetime | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the latest wash of this kind of contact point said of this one.

    A point that the wash did not find is `reserved=False, is_certain=True`. Which reservation counts, that against
    everybody or that against charities, was chosen by whoever gathered it.
    """

    washed_at: datetime
    reserved: bool
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on, gathered for one subject, purpose, channel and moment.

    `latest` is the latest entry of the series; `confirmed_act_at` the time of its latest yes that the subject
    confirmed, which lifts what was recorded before it; `superseded_by` the number of a notice version that was
    published as a material change and has come into effect since, `supersedes_at` the moment when one will that is
    published already. `recalled` says that the latest yes comes from a source that was recalled. `reservation` is None
    where nobody ever washed; `point_since` is when this person became holder of the contact point. `country` and
    `timezone` are the controller's.
    """

    purpose_known: bool
    offer: Offer | None
    point_required: bool
    recipient: str | None = None
    min_evidence: str | None = None
    subject_id: str | None = None
    restricted: bool = False
    suppressions: tuple[Stop, ...] = ()
    objections: tuple[Stop, ...] = ()
    latest: Entry | None = None
    confirmed_act_at: datetime | None = None
    superseded_by: int | None = None
    other_point_given: bool = False
    request_waits: bool = False
    decision_lifetime: timedelta = timedelta(hours=4)
    recalled: bool = False
    supersedes_at: datetime | None = None
    relations: tuple[Relation, ...] = ()
    reservation: Reservation | None = None
    point_since: datetime | None = None
    is_company_address: bool = False
    company_addresses_allowed: bool = False
    country: str = "NO"
    timezone: str = "Europe/Oslo"
    channel: str = ""
    objection_notice_given: bool = False
    art14_notice_given: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: whether, why, on which legal basis, and what the sender owes the person.

    `valid_until` is a send-by time of a yes. `next_allowed_at` is when calling hours begin again, where they alone
    stand against a call.
    """

    allowed: bool
    reason: str
    status: str
    legal_basis: str | None = None
    valid_until: datetime | None = None
    obligations: tuple[str, ...] = ()
    next_allowed_at: datetime | None = None
