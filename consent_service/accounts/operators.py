"""Answers for operators: the people who work in the console, each with a role."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast

from argon2 import PasswordHasher
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.accounts import models
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import AlreadyExistsError, FieldProblem, InvalidInputError
from consent_service.vault import keys

OperatorRole = Literal["admin", "dpo", "auditor", "support"]

ROLES: Final[tuple[OperatorRole, ...]] = ("admin", "dpo", "auditor", "support")
SHORTEST_PASSWORD: Final = 12
_LONGEST_PASSWORD: Final = 1024
# An index of its own, so that equal rows do not tell that an operator is also a customer.
_INDEX_KIND: Final = "operator_email"
# Above the OWASP minimum (19 MiB, 2 passes), and cheap enough that a login under load is no outage.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who works in the console; the address stays sealed."""

    id: str
    role: OperatorRole
    created_at: datetime
    disabled_at: datetime | None


def create(session: Session, *, email: str, password: str, role: str, actor: trail.Actor, at: datetime) -> Operator:
    """Create an operator with a password (Argon2id).

    Raises InvalidInputError, and AlreadyExistsError where the address is in use. Writes an audit entry without it.
    """
    address = _demand_valid(email=email, password=password, role=role)
    operator = Operator(identifiers.new_id("opr", at=at), cast("OperatorRole", role), at, None)
    added = session.scalar(
        insert(models.Operator)
        .values(
            controller_id=controller_of(session),
            id=operator.id,
            role=role,
            email_index=keys.index(session, kind=_INDEX_KIND, value=address.casefold()),
            email_sealed=keys.seal_for_controller(
                session, address.encode(), table="operator", column="email_sealed", row_id=operator.id
            ),
            password_hash=_HASHER.hash(password),
            created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(models.Operator.id)
    )
    if added is None:
        raise AlreadyExistsError("operator")
    trail.record(
        session,
        type="operator.created",
        at=at,
        actor=actor,
        stream=f"operator:{operator.id}",
        payload={"role": role},
    )
    return operator


def list_all(session: Session) -> tuple[Operator, ...]:
    """List the operators of this controller, disabled ones included, oldest first."""
    rows = session.scalars(
        select(models.Operator)
        .where(models.Operator.controller_id == controller_of(session))
        .order_by(models.Operator.id)
    )
    return tuple(Operator(row.id, cast("OperatorRole", row.role), row.created_at, row.disabled_at) for row in rows)


def open_address(session: Session, *, operator_id: str) -> str | None:
    """Open the e-mail address of an operator, to write to them; None where there is no such operator."""
    sealed = session.scalar(
        select(models.Operator.email_sealed).where(
            models.Operator.controller_id == controller_of(session), models.Operator.id == operator_id
        )
    )
    if sealed is None:
        return None
    place = {"table": "operator", "column": "email_sealed", "row_id": operator_id}
    return keys.unseal_for_controller(session, sealed, **place).decode()


def _demand_valid(*, email: str, password: str, role: str) -> str:
    problems = []
    address = ""
    try:
        address = validate_email(email.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        problems.append(FieldProblem("/email", "email_invalid", "This is not an e-mail address."))
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        problems.append(
            FieldProblem("/password", "too_short", f"A password has at least {SHORTEST_PASSWORD} characters.")
        )
    if role not in ROLES:
        problems.append(FieldProblem("/role", "not_a_choice", f"Expected one of: {', '.join(ROLES)}."))
    if problems:
        raise InvalidInputError(tuple(problems))
    return address
