"""Reads and writes the cursors of lists: opaque, signed, and good for the one list that they come from."""

import struct
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from consent_service import identifiers
from consent_service.consent.decision_records import Place
from consent_service.consent.records import HistoryCursor
from consent_service.crypto import links
from consent_service.crypto.keyring import Keyring
from consent_service.errors import LinkInvalidError
from consent_service.web.problems import ProblemError

_PURPOSE: Final = "cursor "
_DECISION_PLACE: Final = struct.Struct(">q16sq")
_PLACE: Final = struct.Struct(">qq")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write(keyring: Keyring, *, of_list: str, place: HistoryCursor) -> str:
    """Write the cursor of the page after `place`; `of_list` names the list, such as its path."""
    return _sign(keyring, of_list, _PLACE.pack(_microseconds(place.recorded_at), place.seq))


def read(keyring: Keyring, *, of_list: str, text: str) -> HistoryCursor:
    """Read a cursor; raises ProblemError where it is not ours or belongs to another list."""
    microseconds, seq = _PLACE.unpack(_open(keyring, of_list, text))
    return HistoryCursor(_moment(microseconds), seq)


def write_decision(keyring: Keyring, *, of_list: str, place: Place) -> str:
    """Write the cursor of the page of decisions after `place`."""
    decision_id = identifiers.to_uuid(place.decision_id, "dec").bytes
    return _sign(keyring, of_list, _DECISION_PLACE.pack(_microseconds(place.evaluated_at), decision_id, place.item))


def read_decision(keyring: Keyring, *, of_list: str, text: str) -> Place:
    """Read the cursor of a page of decisions; raises ProblemError where it is not ours or of another list."""
    microseconds, decision_id, item = _DECISION_PLACE.unpack(_open(keyring, of_list, text))
    return Place(_moment(microseconds), identifiers.from_uuid(uuid.UUID(bytes=decision_id), "dec"), item)


def write_entry(keyring: Keyring, *, of_list: str, entry_id: str) -> str:
    """Write the cursor of the page of audit entries after `entry_id`."""
    return _sign(keyring, of_list, identifiers.to_uuid(entry_id, "aud").bytes)


def read_entry(keyring: Keyring, *, of_list: str, text: str) -> str:
    """Read after which audit entry a page begins; raises ProblemError where it is not ours or of another list."""
    return identifiers.from_uuid(uuid.UUID(bytes=_open(keyring, of_list, text)), "aud")


def _sign(keyring: Keyring, of_list: str, payload: bytes) -> str:
    return links.sign_link(keyring, purpose=_PURPOSE + of_list, payload=payload)


def _open(keyring: Keyring, of_list: str, text: str) -> bytes:
    try:
        return links.read_link(keyring, purpose=_PURPOSE + of_list, token=text)
    except LinkInvalidError:
        raise ProblemError("cursor_invalid") from None


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
