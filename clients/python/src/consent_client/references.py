"""Says who is meant: by address, by number, by the service's id or by another system's.

What names a person is in no `repr`, so that it reaches neither logs nor tracebacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


class _Discreet:
    """Shows nothing of what it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Email(_Discreet):
    """A person by an e-mail address."""

    address: str

    def __post_init__(self) -> None:
        _demand_text(self.address, "address")

    def as_json(self) -> dict[str, object]:
        """Return the reference as the API reads it."""
        return {"email": self.address}


@dataclass(frozen=True, slots=True, repr=False)
class Phone(_Discreet):
    """A person by a phone number: E.164, or as dialled in `region` (ISO 3166-1 alpha-2)."""

    number: str
    region: str | None = None

    def __post_init__(self) -> None:
        _demand_text(self.number, "number")

    def as_json(self) -> dict[str, object]:
        """Return the reference as the API reads it."""
        return _without_none({"phone": self.number, "region": self.region})


ContactPoint: TypeAlias = Email | Phone


@dataclass(frozen=True, slots=True)
class SubjectId:
    """A person by the service's own id; `contact_point` names which of their addresses is asked about."""

    id: str
    contact_point: ContactPoint | None = None

    def __post_init__(self) -> None:
        _demand_text(self.id, "id")

    def as_json(self) -> dict[str, object]:
        """Return the reference as the API reads it."""
        return _without_none({"id": self.id, "contact_point": _point(self.contact_point)})


@dataclass(frozen=True, slots=True, repr=False)
class ExternalId(_Discreet):
    """A person by what another system calls them; `system` is the key's own where it is left out."""

    id: str
    system: str | None = None
    contact_point: ContactPoint | None = None

    def __post_init__(self) -> None:
        _demand_text(self.id, "id")

    def as_json(self) -> dict[str, object]:
        """Return the reference as the API reads it."""
        return _without_none(
            {"external_id": self.id, "system": self.system, "contact_point": _point(self.contact_point)}
        )


SubjectReference: TypeAlias = Email | Phone | SubjectId | ExternalId


def _demand_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string")


def _point(point: ContactPoint | None) -> dict[str, object] | None:
    return None if point is None else point.as_json()


def _without_none(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
