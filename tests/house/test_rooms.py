"""A room's rows are its own, and each log has one pen."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "consent_service"

#: The first start writes fingerprints as the owner of the schema, before any controller exists.
STRANGERS = {("cli/prepare.py", "vault")}

#: Rows that are only ever added, and by whom.
PENS = {
    "LedgerEntry": "consent/ledger.py",
    "Evidence": "consent/evidence.py",
    "EvidencePart": "consent/evidence.py",
    "Objection": "consent/objection.py",
    "CustomerRelation": "consent/relations.py",
    "NoticeDelivery": "consent/notice_deliveries.py",
    "ExportChunk": "exports/files.py",
    "AuditEntry": "audit/trail.py",
    "ContactPoint": "subjects/identity.py",
    "ReservationMatch": "subjects/reservations.py",
    "ReservationWash": "subjects/reservations.py",
    "Suppression": "subjects/suppression.py",
    "RecipientKindFact": "subjects/recipient_kinds.py",
    "NoticeVersion": "registry/notices.py",
    "NoticePublication": "registry/notices.py",
    "FormVersion": "registry/forms.py",
    "FormerPurposeSettings": "registry/purpose_settings.py",
}


@cache
def _modules() -> tuple[tuple[str, ast.Module], ...]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return tuple((path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths)


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    return tuple((place, node) for place, tree in _modules() for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imported_models(tree: ast.Module) -> Iterator[str]:
    """Yield the room of every `consent_service.<room>.models` that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            parts = [name.split(".") for name in (node.module, *names)]
            yield from {part[1] for part in parts if part[0] == "consent_service" and part[2:3] == ["models"]}


def test_only_a_room_itself_touches_its_rows() -> None:
    found = {
        (place, room)
        for place, tree in _modules()
        for room in _imported_models(tree)
        if place.split("/", maxsplit=1)[0] != room
    }

    assert found == STRANGERS


@pytest.mark.parametrize(("row", "pen"), PENS.items())
def test_what_only_grows_has_one_pen(row: str, pen: str) -> None:
    writers = {place for place, call in _calls() if _writes(call, row)}

    assert writers == {pen}


def _writes(call: ast.Call, row: str) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == row:
        return True
    first = call.args[0] if call.args else None
    of = first.id if isinstance(first, ast.Name) else getattr(first, "attr", "")
    return name in {"insert", "update", "delete"} and of == row
