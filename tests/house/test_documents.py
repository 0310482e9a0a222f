"""The documents speak of everything that is there, and of nothing that is not."""

import re
from pathlib import Path

from consent_service.audit import trail

DOCS = Path(__file__).resolve().parents[2] / "docs"


class TestAuditEvents:
    def test_are_documented_one_by_one(self) -> None:
        rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", (DOCS / "audit-events.md").read_text("utf-8"), re.MULTILINE)

        assert rows == sorted(trail.TYPES)
