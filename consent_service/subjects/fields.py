"""What people type and how it is compared: e-mail, phone and postal addresses, and how they are masked."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from consent_service.errors import ContactPointInvalidError, FieldProblem

PointKind = Literal["email", "phone", "post"]

#: The contact point that a channel reaches; `ads` is matched by the address that identifies the person in the form.
POINT_OF_CHANNEL: Final[dict[str, PointKind | None]] = {
    "email": "email",
    "sms": "phone",
    "phone": "phone",
    "voice_automated": "phone",
    "post": "post",
    "direct_message": "phone",
    "push": None,
    "ads": "email",
    "web": None,
}

_LONGEST_TEXT: Final = 320
_LONGEST_PLAIN: Final = 100
# Lower case, one dot at a time, and a top-level domain of letters that is not kept for special use (RFC 6761).
_PLAIN_EMAIL: Final = re.compile(
    r"[a-z0-9_+-]{1,30}(?:\.[a-z0-9_+-]{1,30})?@(?:[a-z0-9]{1,30}\.){1,2}"
    r"(?!local\Z|localhost\Z|test\Z|invalid\Z|onion\Z|arpa\Z)[a-z]{2,12}",
    re.ASCII,
)
_SHORTEST_POST: Final = 5
_SHOWN_DIGITS: Final = 3
_DOT: Final = "•"


@dataclass(frozen=True, slots=True)
class ContactValue:
    """One way to reach somebody: as it is written and as it is compared. Its repr shows neither."""

    kind: PointKind
    value: str = field(repr=False)
    normal: str = field(repr=False)


def point_kind(channel: str) -> PointKind | None:
    """Return which kind of contact point a channel reaches, or None for `web` and `push`."""
    return POINT_OF_CHANNEL[channel]


def plain_email(text: str) -> ContactValue | None:
    """Read an address of the plainest and most frequent kind, as `parse_email` would, or return None.

    It is a hundred times as fast, which is what a check about ten thousand people needs.
    """
    if len(text) > _LONGEST_PLAIN or _PLAIN_EMAIL.fullmatch(text) is None:
        return None
    return ContactValue(kind="email", value=text, normal=text)


def parse_email(text: str, *, pointer: str = "/email") -> ContactValue:
    """Read an e-mail address; IDN domains are compared as A-labels, the local part without regard to case.

    Dots and `+tag` are kept: another address may be another person. Raises ContactPointInvalidError, whose problem
    carries `email_invalid` and never the address.
    """
    cleaned = unicodedata.normalize("NFC", text.strip())
    if len(cleaned) > _LONGEST_TEXT:
        raise _invalid(pointer, "email_invalid", "This is not an e-mail address.")
    try:
        checked = validate_email(cleaned, check_deliverability=False, test_environment=False)
    except EmailNotValidError:
        raise _invalid(pointer, "email_invalid", "This is not an e-mail address.") from None
    domain = checked.ascii_domain.lower()
    # Not casefold(): it takes ß for ss, and these can be two people's mailboxes.
    normal = unicodedata.normalize("NFC", checked.local_part.lower())
    return ContactValue(kind="email", value=f"{checked.local_part}@{checked.domain}", normal=f"{normal}@{domain}")


def parse_phone(text: str, *, region: str | None = None, pointer: str = "/phone") -> ContactValue:
    """Read a phone number in E.164, or as it is dialled in `region` (ISO 3166-1 alpha-2).

    Raises ContactPointInvalidError with `phone_region_required` or `phone_invalid`.
    """
    cleaned = text.strip()
    if len(cleaned) > _LONGEST_TEXT:
        raise _invalid(pointer, "phone_invalid", "This is not a phone number that can be reached.")
    if region is None and not cleaned.startswith("+"):
        raise _invalid(pointer, "phone_region_required", "Write the number with + and country code, or give a region.")
    try:
        number = phonenumbers.parse(cleaned, region.upper() if region else None)
    except phonenumbers.NumberParseException:
        raise _invalid(pointer, "phone_invalid", "This is not a phone number that can be reached.") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise _invalid(pointer, "phone_invalid", "This is not a phone number that can be reached.")
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return ContactValue(kind="phone", value=written, normal=written)


def parse_post(text: str, *, pointer: str = "/post") -> ContactValue:
    """Read a postal address, on one line or several; it is compared without case, punctuation and extra space.

    Nothing is looked up: whoever writes a street in two ways has two addresses. Raises ContactPointInvalidError with
    `post_invalid`.
    """
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFC", text).splitlines())
    written = ", ".join(line for line in lines if line)
    # Casing can take letters apart, so they are put together once more.
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", written).casefold())
    words = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in folded).split()
    normal = " ".join(words)
    too_short = sum(map(len, words)) < _SHORTEST_POST
    if too_short or len(written) > _LONGEST_TEXT or any(unicodedata.category(letter) == "Cc" for letter in written):
        raise _invalid(pointer, "post_invalid", "This is not a postal address: street or box, and place.")
    return ContactValue(kind="post", value=written, normal=normal)


def parse(kind: str, text: str) -> ContactValue:
    """Read back a contact point of ours that was written in full, by its kind."""
    readers: dict[str, Callable[[str], ContactValue]] = {
        "email": parse_email,
        "phone": parse_phone,
        "post": parse_post,
    }
    return readers[kind](text)


def mask(contact: ContactValue) -> str:
    """Return what may be shown of a contact point: enough to know one's own, too little for anybody else."""
    if contact.kind == "email":
        local, _, domain = contact.value.rpartition("@")
        label, _, top = domain.rpartition(".")
        return f"{local[:1]}{_DOT * 3}@{label[:1]}{_DOT * 3}.{top}"
    if contact.kind == "phone":
        code = phonenumbers.parse(contact.value).country_code
        return f"+{code} {_DOT * 3} {_DOT * 2} {contact.value[-_SHOWN_DIGITS:]}"
    return f"{contact.value[:1]}{_DOT * 5}"


def _invalid(pointer: str, code: str, detail: str) -> ContactPointInvalidError:
    return ContactPointInvalidError((FieldProblem(pointer, code, detail),))
