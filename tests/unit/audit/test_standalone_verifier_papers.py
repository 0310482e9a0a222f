"""What the papers of a bundle say is what the log commits to, or is said not to be proved."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from consent_service.audit.standalone_verifier.bundles import Bundle, canonical
from consent_service.audit.standalone_verifier.findings import Findings
from consent_service.audit.standalone_verifier.papers import STATEMENT, Papers

PIECE: dict[str, Any] = {
    "evidence_id": "evd_1",
    "shown": {"statement": "Ja takk, på e-post"},
    "shown_sha256": "00",
    "checked_by_default": False,
    "acts": {"submission": {"method": "web_form", "signals": {"seconds_open": 4.2, "idle": 12}}},
    "salt": "ab" * 16,
    "events": [],
    "trace": {"ip": "192.0.2.1"},
}
SHA256 = hashlib.sha256(canonical({name: PIECE[name] for name in STATEMENT}).encode()).hexdigest()
ENTRY = {"evidence": "evd_1", "evidence_sha256": SHA256}


def _found(folder: Path, text: str, *entries: dict[str, Any]) -> tuple[dict[str, int], int, int]:
    """Return what is found in a paper, and how many of its pieces are proved and unproved."""
    (folder / "evidence").mkdir()
    (folder / "evidence/con_1.json").write_text(text, "utf-8")
    findings = Findings()
    papers = Papers(Bundle(folder), findings)
    for entry in entries:
        papers.take(entry)
    papers.finish()
    return dict(findings.names), papers.proved, papers.unproved


def _paper(*pieces: dict[str, Any]) -> str:
    return json.dumps({"consent_id": "con_1", "evidence": pieces}, indent=2)


class TestPapers:
    def test_what_the_log_commits_to_is_proved(self, tmp_path: Path) -> None:
        assert _found(tmp_path, _paper(PIECE), {"type": "subject.created"}, ENTRY) == ({}, 1, 0)

    def test_the_trace_is_under_no_commitment(self, tmp_path: Path) -> None:
        assert _found(tmp_path, _paper({**PIECE, "trace": None}), ENTRY) == ({}, 1, 0)

    @pytest.mark.parametrize("name", STATEMENT)
    @pytest.mark.rule("LOG-12")
    def test_a_change_of_any_member_is_found(self, tmp_path: Path, name: str) -> None:
        changed = {**PIECE, name: "other"}

        assert _found(tmp_path, _paper(changed), ENTRY) == ({"commitment_mismatch": 1}, 0, 0)

    def test_a_change_deep_inside_is_found(self, tmp_path: Path) -> None:
        changed = copy.deepcopy(PIECE)
        changed["acts"]["submission"]["signals"]["seconds_open"] = 4.3

        assert _found(tmp_path, _paper(PIECE, changed), ENTRY) == ({"commitment_mismatch": 1}, 1, 0)

    @pytest.mark.parametrize("entry", [{}, {"evidence": "evd_1"}, {**ENTRY, "evidence": "evd_2"}])
    def test_what_no_opened_entry_speaks_of_is_not_proved(self, tmp_path: Path, entry: dict[str, Any]) -> None:
        assert _found(tmp_path, _paper(PIECE), entry) == ({}, 0, 1)

    def test_a_piece_whose_body_was_destroyed_says_nothing(self, tmp_path: Path) -> None:
        empty = {**PIECE, "shown": None, "shown_sha256": None, "checked_by_default": None, "acts": {}, "salt": None}

        assert _found(tmp_path, _paper(empty), ENTRY) == ({}, 0, 0)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"evidence": [1]}',
            '{"evidence": [{"acts": {"x": 1}}]}',
            '{"evidence": [], "evidence": []}',
            '{"evidence": 1}',
            "[" * 100_000,
        ],
    )
    def test_what_is_no_paper_is_found(self, tmp_path: Path, text: str) -> None:
        assert _found(tmp_path, text, ENTRY) == ({"payload_damaged": 1}, 0, 0)
