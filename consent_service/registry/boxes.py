"""Answers for what is told at one box: a purpose on a channel, in one language, from one notice version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.registry import notices, purposes, recipients
from consent_service.registry.form_definition import Offer
from consent_service.registry.notices import NoticeVersion


@dataclass(frozen=True, slots=True)
class ShownBox:
    """One box as a person sees it, with everything that is said at it; there is no word here for a ticked one."""

    purpose: str
    channel: str
    notice_id: str
    notice_number: int
    title: str
    statement: str
    frequency_text: str
    short_text: str
    product_types_text: str
    purpose_text: str
    data_categories: tuple[str, ...]
    recipients: tuple[str, ...]
    recipients_text: str
    withdrawal_text: str
    privacy_notice_url: str
    valid_for_months: int | None


def in_force(session: Session, *, offers: Iterable[Offer], language: str, at: datetime) -> tuple[ShownBox, ...]:
    """Say what is told about offers in one language, from the notices in force at a time, in the order of the offers.

    An offer that cannot be told in this language, or whose purpose is retired or unpublished, is left out (CAP-07).
    """
    wanted = tuple(offers)
    notices_in_force = _notices_in_force(session, (offer.purpose for offer in wanted), at)
    return _told(
        session,
        ((notices_in_force[offer.purpose], offer.channel) for offer in wanted if offer.purpose in notices_in_force),
        language=language,
    )


def all_in_force(session: Session, *, language: str, at: datetime) -> tuple[ShownBox, ...]:
    """Say what is told in one language about everything that the controller asks for at a time, purpose by purpose."""
    keys = [purpose.key for purpose in purposes.list_all(session)]
    notices_in_force = _notices_in_force(session, keys, at)
    return _told(
        session,
        ((notice, channel) for notice in notices_in_force.values() for channel in notice.content.channels),
        language=language,
    )


def of_notice(session: Session, *, notice: NoticeVersion, channel: str, language: str) -> ShownBox | None:
    """Say what one notice version told about a channel in a language, in force or not; None where it told nothing."""
    told = _told(session, ((notice, channel),), language=language)
    return told[0] if told else None


def _notices_in_force(session: Session, keys: Iterable[str], at: datetime) -> dict[str, NoticeVersion]:
    in_use = {purpose.key for purpose in purposes.list_all(session) if not purpose.is_retired(at)}
    return notices.current_of_all(session, purpose_keys=in_use.intersection(keys), at=at)


def _told(session: Session, asked: Iterable[tuple[NoticeVersion, str]], *, language: str) -> tuple[ShownBox, ...]:
    wanted = tuple(asked)
    named = {key for notice, _ in wanted for key in notice.content.recipients}
    names = {recipient.key: recipient.legal_name for recipient in recipients.list_all(session, keys=named)}
    months = {purpose.key: purpose.valid_for_months for purpose in purposes.list_all(session)}
    found = (
        _box(notice, channel, language=language, names=names, valid_for_months=months[notice.purpose_key])
        for notice, channel in wanted
    )
    return tuple(box for box in found if box is not None)


def _box(
    notice: NoticeVersion,
    channel: str,
    *,
    language: str,
    names: Mapping[str, str],
    valid_for_months: int | None,
) -> ShownBox | None:
    text = notice.content.languages.get(language)
    words = None if text is None else text.channels.get(channel)
    if text is None or words is None or channel not in notice.content.channels:
        return None
    return ShownBox(
        purpose=notice.purpose_key,
        channel=channel,
        notice_id=notice.id,
        notice_number=notice.number,
        title=text.title,
        statement=words.statement,
        frequency_text=words.frequency_text,
        short_text=words.short_text,
        product_types_text=text.product_types_text,
        purpose_text=text.purpose_text,
        data_categories=text.data_categories,
        recipients=tuple(names[key] for key in notice.content.recipients),
        recipients_text=text.recipients_text,
        withdrawal_text=text.withdrawal_text,
        privacy_notice_url=text.privacy_notice_url,
        valid_for_months=valid_for_months,
    )
