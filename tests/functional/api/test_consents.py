"""What a controller's system reports is taken as said, with its evidence, or refused as a whole."""

import pytest

from tests.functional.api.conftest import KARI, System


class TestReport:
    def test_a_single_opt_in_is_given_at_once(self, system: System) -> None:
        answer = system.post("/v1/consents", system.report())

        assert answer.status_code == 201
        assert answer.json is not None
        assert answer.json["subject_id"].startswith("sub_")
        assert answer.json["consents"][0]["status"] == "given"
        assert answer.json["consents"][0]["confirmation"] is None

    def test_a_double_opt_in_waits_for_the_person(self, system: System) -> None:
        answer = system.post("/v1/consents", system.report(purpose="newsletter"))

        assert answer.json is not None
        assert answer.json["consents"][0]["status"] == "requested"
        assert answer.json["consents"][0]["confirmation"] == "email"
        assert system.check(purpose="newsletter")["allowed"] is False

    def test_an_empty_box_is_not_a_no(self, system: System) -> None:
        report = system.report(granted=False)
        report["evidence"]["act"] = "checkbox_ticked"

        answer = system.post("/v1/consents", report)

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["pointer"] == "/decisions/0/granted"

    @pytest.mark.parametrize("missing", ["method", "act", "occurred_at"])
    def test_evidence_has_no_defaults(self, system: System, missing: str) -> None:
        report = system.report()
        del report["evidence"][missing]

        answer = system.post("/v1/consents", report)

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"] == [
            {"pointer": f"/evidence/{missing}", "code": "missing", "detail": "This field is required."}
        ]

    @pytest.mark.parametrize("granted", ["true", 1, "yes", None, 1.0])
    def test_granted_is_true_or_false_and_nothing_like_it(self, system: System, granted: object) -> None:
        report = system.report()
        report["decisions"][0]["granted"] = granted

        assert system.post("/v1/consents", report).status_code == 422

    def test_an_act_of_tomorrow_is_refused(self, system: System) -> None:
        report = system.report()
        report["evidence"]["occurred_at"] = "2999-01-01T00:00:00Z"

        answer = system.post("/v1/consents", report)

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["pointer"] == "/evidence/occurred_at"

    def test_a_language_that_the_form_lacks_is_refused(self, system: System) -> None:
        answer = system.post("/v1/consents", system.report(language="fi"))

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["code"] == "language_unknown"

    def test_a_form_of_another_controller_does_not_exist(self, system: System, other_system: System) -> None:
        answer = system.post("/v1/consents", system.report(form=other_system.form))

        assert answer.status_code == 404

    def test_an_address_is_the_same_in_every_spelling(self, system: System) -> None:
        system.post("/v1/consents", system.report(subject={"email": "Ka\u030are@xn--bcher-kva.example"}))

        decision = system.check(subject={"email": "k\u00e5re@B\u00dcCHER.example"})

        assert decision["allowed"] is True

    @pytest.mark.parametrize(
        ("subject", "pointer", "code"),
        [
            ({"phone": "+4712"}, "/subject/phone", "phone_invalid"),
            ({"phone": "90000000"}, "/subject/phone", "phone_region_required"),
            ({"email": "kari"}, "/subject/email", "email_invalid"),
            ({**KARI, "id": "sub_00000000000000000000000000"}, "/subject", "exactly_one"),
            ({"id": "con_00000000000000000000000000"}, "/subject/id", "identifier_invalid"),
        ],
    )
    def test_an_impossible_reference_is_pointed_at(
        self, system: System, subject: dict[str, str], pointer: str, code: str
    ) -> None:
        answer = system.post("/v1/consents", system.report(subject=subject))

        assert answer.status_code == 422
        assert answer.json is not None
        assert [(each["pointer"], each["code"]) for each in answer.json["errors"]] == [(pointer, code)]
