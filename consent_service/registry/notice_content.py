"""Answers for what a notice says: its values, and their one spelling as JSON."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from consent_service.crypto import canonical
from consent_service.errors import InvalidInputError
from consent_service.registry.documents import Document, Reading, below

#: The channels of the domain, in the order in which they are shown.
CHANNELS: Final = ("email", "sms", "phone", "voice_automated", "post", "direct_message", "push", "ads", "web")

#: What a key of a purpose or a recipient may look like: it stands in URLs and in `<purpose>:<channel>`.
KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_DATA_CATEGORY: Final = re.compile(r"pd:[A-Z][A-Za-z0-9]{0,62}", re.ASCII)
_CHANNEL_MEMBERS: Final = ("statement", "frequency_text", "short_text")
_LANGUAGE_MEMBERS: Final = (
    "title",
    "purpose_text",
    "data_categories",
    "product_types_text",
    "recipients_text",
    "withdrawal_text",
    "privacy_notice_url",
    "channels",
)
_MEMBERS: Final = ("channels", "data_categories", "recipients", "languages")


@dataclass(frozen=True, slots=True)
class ChannelText:
    """What one box says in one language: the first-person sentence, how often, and a short name of the channel."""

    statement: str
    frequency_text: str
    short_text: str


@dataclass(frozen=True, slots=True)
class NoticeText:
    """Everything the person is told in one language (GDPR Art. 13).

    `data_categories` says each of the notice's data categories in words, in the same order; `recipients_text` says who
    gets the data, or that nobody does.
    """

    title: str
    purpose_text: str
    data_categories: tuple[str, ...]
    product_types_text: str
    recipients_text: str
    withdrawal_text: str
    privacy_notice_url: str
    channels: Mapping[str, ChannelText]


@dataclass(frozen=True, slots=True)
class NoticeContent:
    """What a notice version tells, in all its languages.

    `data_categories` are terms of the Data Privacy Vocabulary (`pd:EmailAddress`); `recipients` are keys of
    recipients, and an empty tuple means that nobody else gets the data.
    """

    channels: tuple[str, ...]
    data_categories: tuple[str, ...]
    recipients: tuple[str, ...]
    languages: Mapping[str, NoticeText]


def parse(document: object) -> NoticeContent:
    """Read a notice's content from JSON; raises InvalidInputError that names every problem.

    A draft may lack texts, for they are written one after the other; publishing asks for them all.
    """
    reading = Reading()
    members = reading.mapping(document, "", known=_MEMBERS)
    content = NoticeContent(
        channels=reading.items(
            members.get("channels"), "/channels", read=lambda item, at: reading.choice(item, at, among=CHANNELS)
        ),
        data_categories=reading.items(
            members.get("data_categories"),
            "/data_categories",
            read=lambda item, at: reading.matching(
                item, at, pattern=_DATA_CATEGORY, detail="A term such as pd:EmailAddress is expected here."
            ),
        ),
        recipients=reading.items(
            members.get("recipients"),
            "/recipients",
            read=lambda item, at: reading.matching(item, at, pattern=KEY, detail="A recipient's key is expected here."),
        ),
        languages=_parse_languages(reading, members.get("languages")),
    )
    reading.distinct(content.channels, "/channels")
    reading.distinct(content.data_categories, "/data_categories")
    reading.distinct(content.recipients, "/recipients")
    if reading.problems:
        raise InvalidInputError(tuple(reading.problems))
    return content


def serialise(content: NoticeContent) -> dict[str, object]:
    """Write a notice's content as the JSON that is stored: what was told, to the letter."""
    return {
        "channels": list(content.channels),
        "data_categories": list(content.data_categories),
        "recipients": list(content.recipients),
        "languages": {language: _serialise_text(text) for language, text in content.languages.items()},
    }


def sha256(content: NoticeContent) -> bytes:
    """Hash the canonical JSON of a content, by which evidence says what was told (RFC 8785)."""
    return hashlib.sha256(canonical.canonical_json(serialise(content))).digest()


def _parse_languages(reading: Reading, value: object) -> Mapping[str, NoticeText]:
    texts = {}
    for language, item in reading.mapping(value if value is not None else {}, "/languages").items():
        at = below("/languages", language)
        reading.language(language, at)
        texts[language] = _parse_text(reading, item, at)
    return MappingProxyType(texts)


def _parse_text(reading: Reading, value: object, at: str) -> NoticeText:
    members = reading.mapping(value, at, known=_LANGUAGE_MEMBERS)

    def text(name: str) -> str:
        return reading.text(members.get(name), below(at, name))

    return NoticeText(
        title=text("title"),
        purpose_text=text("purpose_text"),
        data_categories=reading.items(members.get("data_categories"), below(at, "data_categories"), read=reading.text),
        product_types_text=text("product_types_text"),
        recipients_text=text("recipients_text"),
        withdrawal_text=text("withdrawal_text"),
        privacy_notice_url=text("privacy_notice_url"),
        channels=_parse_channels(reading, members.get("channels"), below(at, "channels")),
    )


def _parse_channels(reading: Reading, value: object, at: str) -> Mapping[str, ChannelText]:
    texts = {}
    for channel, item in reading.mapping(value if value is not None else {}, at, known=CHANNELS).items():
        place = below(at, channel)
        members = reading.mapping(item, place, known=_CHANNEL_MEMBERS)
        texts[channel] = ChannelText(
            **{name: reading.text(members.get(name), below(place, name)) for name in _CHANNEL_MEMBERS}
        )
    return MappingProxyType(texts)


def _serialise_text(text: NoticeText) -> Document:
    return {
        "title": text.title,
        "purpose_text": text.purpose_text,
        "data_categories": list(text.data_categories),
        "product_types_text": text.product_types_text,
        "recipients_text": text.recipients_text,
        "withdrawal_text": text.withdrawal_text,
        "privacy_notice_url": text.privacy_notice_url,
        "channels": {
            channel: {
                "statement": words.statement,
                "frequency_text": words.frequency_text,
                "short_text": words.short_text,
            }
            for channel, words in text.channels.items()
        },
    }
