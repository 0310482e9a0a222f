"""The log holds the fields of its list and nothing that was handed to it by mistake."""

import json
import logging

import pytest
import structlog

from consent_service.web import logs

ADDRESS = "kari@nordmann.example"


@pytest.fixture(autouse=True)
def configured() -> None:
    logs.configure()


class TestLog:
    @pytest.mark.rule("ACC-11")
    def test_a_field_that_is_not_listed_is_dropped(self, capfd: pytest.CaptureFixture[str]) -> None:
        structlog.get_logger().info("sent", email=ADDRESS, status=200)

        line = json.loads(capfd.readouterr().err)
        assert line["status"] == 200
        assert ADDRESS not in str(line)

    @pytest.mark.rule("ACC-11")
    def test_what_a_library_fills_into_its_sentence_is_dropped(self, capfd: pytest.CaptureFixture[str]) -> None:
        logging.getLogger("library").warning("cannot reach %s", ADDRESS)

        line = json.loads(capfd.readouterr().err)
        assert line["event"] == "cannot reach %s"
        assert line["logger"] == "library"

    @pytest.mark.rule("ACC-11")
    def test_a_failure_is_told_without_its_words(self) -> None:
        with pytest.raises(ValueError, match="kari") as raised:
            raise ValueError(ADDRESS)

        told = logs.describe(raised.value)

        assert told["error"] == "ValueError"
        assert ADDRESS not in str(told)
        assert "test_a_failure_is_told_without_its_words" in told["where"][0]
