"""What a controller's registry says, whole and indexed for checks: a process keeps it for as long as it stands.

Every check names the version of the copy that it used, and the statement that gathers the facts says in the same
snapshot whether that is still the newest. So a copy may be old, but no answer ever rests on an old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.accounts import api_keys
from consent_service.accounts.api_keys import KnownApiKey
from consent_service.consent.grounds import Offer
from consent_service.consent.models import Revocation
from consent_service.crypto.statements import SigningKey
from consent_service.db.session import controller_of
from consent_service.errors import ControllerUnknownError
from consent_service.registry import controllers, purpose_settings, purposes, standing
from consent_service.registry.controllers import Controller
from consent_service.registry.purpose_settings import FormerSettings
from consent_service.registry.purposes import Purpose
from consent_service.registry.standing import PublishedNotice
from consent_service.subjects import members, reservations
from consent_service.subjects.reservations import PastWash
from consent_service.vault import keys
from consent_service.vault.keys import AddressHashes

_NOTHING: Final[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class KnownPurpose:
    """A purpose with its published notices, by number, and what a statement about people must look for.

    `former` is what it admitted beside consent before that was changed, the oldest first.
    """

    purpose: Purpose
    uuid: UUID
    notices: tuple[PublishedNotice, ...]
    by_uuid: Mapping[UUID, PublishedNotice]
    looks_for: tuple[str, ...]
    former: tuple[FormerSettings, ...] = ()

    def exists_at(self, at: datetime) -> bool:
        """Say whether the purpose existed and was not retired at a moment."""
        return self.purpose.created_at <= at and not self.purpose.is_retired(at)

    def offer(
        self, channel: str, *, at: datetime, known_at: datetime | None, limit: datetime | None = None
    ) -> Offer | None:
        """Return what was offered on a channel at a moment, as far as it was known, or None.

        What was set after `limit` does not count; without it every setting on record does.
        """
        current = None
        for notice in self._known(known_at):
            # By number, so of two that take effect together the later version wins.
            if notice.effective_at <= at and (current is None or notice.effective_at >= current.effective_at):
                current = notice
        if current is None or channel not in current.channels:
            return None
        purpose = self.purpose
        if limit is not None and self.former:
            purpose = purpose_settings.as_of(purpose, self.former, at=limit)
        return Offer(
            legal_basis=purpose.legal_basis,
            double_opt_in=purpose.double_opt_in,
            special_category=purpose.special_category,
            recipients=current.recipients,
            age_condition=purpose.age_condition,
            existing_customer=purpose.existing_customer,
            product_categories=purpose.product_categories,
            is_balanced=purpose.balancing is not None,
            reservation_enabled=purpose.reservation_enabled,
        )

    def material_after(
        self, number: int, *, at: datetime, known_at: datetime | None
    ) -> tuple[int | None, datetime | None]:
        """Return the first material version after `number` that is in effect, and when the next one will be."""
        later = [each for each in self._known(known_at) if each.number > number and each.material]
        in_effect = min((each.number for each in later if each.effective_at <= at), default=None)
        ahead = min((each.effective_at for each in later if each.effective_at > at), default=None)
        return in_effect, ahead

    def _known(self, known_at: datetime | None) -> tuple[PublishedNotice, ...]:
        if known_at is None:
            return self.notices
        return tuple(notice for notice in self.notices if notice.published_at <= known_at)


@dataclass(frozen=True, slots=True)
class Standing:
    """A copy of everything that a check asks the registry, and the version that it is a copy of."""

    version: UUID
    controller: Controller
    controller_uuid: UUID
    purposes: Mapping[str, KnownPurpose]
    api_keys: Mapping[str, KnownApiKey]
    washes: tuple[PastWash, ...]
    hashes: AddressHashes
    signing_key: SigningKey | None = field(repr=False)

    def wash(self, channel: str, *, at: datetime, known_until: datetime | None) -> PastWash | None:
        """Return the last wash of the addresses of a channel, of those done and known at a moment."""
        done = (
            each
            for each in self.washes
            if each.kind == channel
            and each.washed_at <= at
            and (known_until is None or each.recorded_at <= known_until)
        )
        return max(done, key=lambda each: (each.washed_at, each.recorded_at), default=None)


def load(session: Session) -> Standing:
    """Read what the registry of this transaction's controller says; raises ControllerUnknownError."""
    version = standing.version(session)
    if version is None:
        raise ControllerUnknownError(controller_of(session))
    controller = controllers.get(session)
    by_purpose: dict[str, list[PublishedNotice]] = {}
    for notice in standing.list_published(session):
        by_purpose.setdefault(notice.purpose_id, []).append(notice)
    general = _looks_for(session)
    former = purpose_settings.list_all_former(session)
    return Standing(
        version=version,
        controller=controller,
        controller_uuid=identifiers.to_uuid(controller.controller_id, "ctl"),
        purposes=MappingProxyType(
            {
                purpose.key: _known(
                    purpose, tuple(by_purpose.get(purpose.id, ())), former.get(purpose.id, ()), general, controller
                )
                for purpose in purposes.list_all(session)
            }
        ),
        api_keys=MappingProxyType(api_keys.list_known(session)),
        washes=reservations.list_washes(session),
        hashes=keys.open_hashes(session),
        signing_key=keys.open_signing(session) if controller.signs_decisions else None,
    )


def _known(
    purpose: Purpose,
    notices: tuple[PublishedNotice, ...],
    former: tuple[FormerSettings, ...],
    general: tuple[str, ...],
    controller: Controller,
) -> KnownPurpose:
    editions: tuple[Purpose | FormerSettings, ...] = (purpose, *former)
    others = controller.allows_company_addresses or any(
        edition.existing_customer or edition.balancing is not None for edition in editions
    )
    return KnownPurpose(
        purpose=purpose,
        uuid=identifiers.to_uuid(purpose.id, "pur"),
        notices=notices,
        by_uuid=MappingProxyType({identifiers.to_uuid(notice.id, "ntc"): notice for notice in notices}),
        looks_for=(*general, "other_bases") if others else general,
        former=former,
    )


def _looks_for(session: Session) -> tuple[str, ...]:
    recalled = session.scalar(select(Revocation.id).where(Revocation.controller_id == controller_of(session)).limit(1))
    found = (
        ("recalls", recalled is not None),
        ("merges", members.any_merged(session)),
    )
    return tuple(name for name, is_there in found if is_there) or _NOTHING
