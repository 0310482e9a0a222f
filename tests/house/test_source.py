"""The source keeps the shape that docs and review ask for."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 400
LEFT_OVERS = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
CAPABILITIES = (
    "accounts",
    "admission",
    "audit",
    "consent",
    "delivery",
    "exports",
    "language",
    "registry",
    "rights",
    "subjects",
    "vault",
)
#: The worker is a door in a capability's room: it opens the transactions in which messages are claimed and settled.
OPENS_TRANSACTIONS = {"delivery/worker.py"}


def _sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _comments(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(io.BytesIO(file.read()).readline):
            if token.type == tokenize.COMMENT:
                yield token.string


class TestModules:
    def test_none_is_longer_than_a_person_reads(self) -> None:
        long = {
            str(path.relative_to(ROOT)): lines
            for path in _sources("consent_service", "clients", "tests", "migrations", "bench")
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
        }

        assert long == {}

    def test_none_puts_work_off_in_a_comment(self) -> None:
        put_off = [
            f"{path.relative_to(ROOT)}: {comment}"
            for path in _sources("consent_service", "clients", "tests", "migrations")
            for comment in _comments(path)
            if LEFT_OVERS.search(comment)
        ]

        assert put_off == []

    def test_only_the_clock_reads_the_time(self) -> None:
        readers = {
            str(path.relative_to(ROOT / "consent_service"))
            for path in _sources("consent_service")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
            if isinstance(node.value, ast.Name) and node.value.id in {"datetime", "date"}
        }

        assert readers == {"clock.py"}

    def test_no_capability_ends_or_opens_a_transaction(self) -> None:
        offenders = {
            str(path.relative_to(ROOT / "consent_service"))
            for room in CAPABILITIES
            for path in _sources(f"consent_service/{room}")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            if isinstance(node.func, ast.Attribute)
            if node.func.attr in {"commit", "rollback", "transaction", "platform_transaction"}
        }

        assert offenders <= OPENS_TRANSACTIONS


class TestClients:
    def test_stand_on_their_own(self) -> None:
        imported = {
            name
            for path in _sources("clients/python/src")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in _imported(node)
        }

        assert imported - set(sys.stdlib_module_names) == {"consent_client", "h11", "rich"}


def _imported(node: ast.AST) -> set[str]:
    """Return the top-level packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()
