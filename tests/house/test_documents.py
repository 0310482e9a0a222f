"""The documents speak of everything that is there, and of nothing that is not."""

import ast
import re
from pathlib import Path

from consent_service.audit import trail

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: What the launcher tells its own processes; nobody else sets them.
INTERNAL = {"CONSENT_CLOCK_FILE", "CONSENT_DATA", "CONSENT_DEMO", "CONSENT_DOCTOR_URL", "CONSENT_RUN"}
VARIABLE = re.compile(r"(CONSENT|DATABASE|DECISION|MAIL|SMS|PUBLIC|TRUSTED|SIGNUPS|PREFERENCE)(_[A-Z]+)+")


class TestVariables:
    def test_are_documented_for_whoever_runs_the_service(self) -> None:
        sources = [*(ROOT / "consent_service").rglob("*.py")]
        named = {
            node.value
            for path in sources
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
        }
        documented = set(re.findall(r"`([A-Z_]+)`", (DOCS / "operating.md").read_text("utf-8")))

        assert {"DATABASE_URL", "MAIL_SENDER", "TRUSTED_PROXIES"} <= named
        assert named - INTERNAL - documented == set()


class TestAuditEvents:
    def test_are_documented_one_by_one(self) -> None:
        rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", (DOCS / "audit-events.md").read_text("utf-8"), re.MULTILINE)

        assert rows == sorted(trail.TYPES)
