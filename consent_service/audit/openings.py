"""Opens what entries of the log say, as far as their keys still exist, and holds it against their commitments."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy.orm import Session

from consent_service.crypto import canonical
from consent_service.errors import KeyDestroyedError, SealBrokenError
from consent_service.vault import keys
from consent_service.vault.keys import SealedOfSubject

#: `erased`: the person's key is gone, or nothing says any more whose the entry was. `damaged`: what lies in the
#: database is not what was committed to.
Status = Literal["opened", "erased", "damaged"]

_TABLE: Final = "audit.entry"
_COLUMN: Final = "sealed"
_ENTRY_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry as it is stored: what it commits to, and what opens that. `subject_id` is whose key it is under."""

    entry_id: str
    sealed_for: str
    subject_id: str | None
    commit: bytes
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opening:
    """What an entry commits to: its key and its canonical payload, both None where it cannot be opened.

    Of a damaged one `is_other` says that it opens, and is something else than was committed to.
    """

    status: Status
    entry_key: bytes | None = field(default=None, repr=False)
    plaintext: bytes | None = field(default=None, repr=False)
    is_other: bool = False

    @property
    def payload(self) -> dict[str, Any] | None:
        """Return the payload as an object."""
        return None if self.plaintext is None else json.loads(self.plaintext)


_ERASED: Final = Opening("erased")
_DAMAGED: Final = Opening("damaged")
_OTHER: Final = Opening("damaged", is_other=True)


def open_entries(session: Session, entries: Collection[SealedEntry]) -> Mapping[str, Opening]:
    """Open entries and return what they say by id; never raises for one that is erased or damaged.

    Keys of people are looked up once for all of them, so open a page at a time and not one by one.
    """
    of_people = [
        SealedOfSubject(each.entry_id, each.subject_id, each.sealed)
        for each in entries
        if each.sealed_for == "subject" and each.subject_id is not None
    ]
    opened = dict(keys.unseal_many_for_subjects(session, of_people, table=_TABLE, column=_COLUMN)) if of_people else {}
    for each in entries:
        if each.sealed_for == "controller":
            opened |= _of_controller(session, each)
    return {
        each.entry_id: _compare(each, opened[each.entry_id]) if each.entry_id in opened else _ERASED for each in entries
    }


def _of_controller(session: Session, entry: SealedEntry) -> Mapping[str, bytes | None]:
    try:
        clear = keys.unseal_for_controller(session, entry.sealed, table=_TABLE, column=_COLUMN, row_id=entry.entry_id)
    except SealBrokenError:
        return {entry.entry_id: None}
    except KeyDestroyedError:
        return {}
    return {entry.entry_id: clear}


def _compare(entry: SealedEntry, whole: bytes | None) -> Opening:
    if whole is None or len(whole) <= _ENTRY_KEY_BYTES:
        return _DAMAGED
    entry_key, plaintext = whole[:_ENTRY_KEY_BYTES], whole[_ENTRY_KEY_BYTES:]
    if canonical.commitment(entry_key, plaintext) != entry.commit:
        return _OTHER
    return Opening("opened", entry_key, plaintext)
