"""Reads and writes the cursors of lists: opaque, signed, and good for the one list that they come from."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final

from consent_service.consent.records import HistoryCursor
from consent_service.crypto import links
from consent_service.crypto.keyring import Keyring
from consent_service.errors import LinkInvalidError
from consent_service.web.problems import ProblemError

_PURPOSE: Final = "cursor "
_PLACE: Final = struct.Struct(">qq")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write(keyring: Keyring, *, of_list: str, place: HistoryCursor) -> str:
    """Write the cursor of the page after `place`; `of_list` names the list, such as its path."""
    microseconds = (place.recorded_at - _EPOCH) // timedelta(microseconds=1)
    return links.sign_link(keyring, purpose=_PURPOSE + of_list, payload=_PLACE.pack(microseconds, place.seq))


def read(keyring: Keyring, *, of_list: str, text: str) -> HistoryCursor:
    """Read a cursor; raises ProblemError where it is not ours or belongs to another list."""
    try:
        payload = links.read_link(keyring, purpose=_PURPOSE + of_list, token=text)
    except LinkInvalidError:
        raise ProblemError("cursor_invalid") from None
    microseconds, seq = _PLACE.unpack(payload)
    return HistoryCursor(_EPOCH + timedelta(microseconds=microseconds), seq)
