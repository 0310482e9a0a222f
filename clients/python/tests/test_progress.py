"""Whoever waits for a stream sees how far it is."""

import io
from collections.abc import Callable, Iterator

import pytest

from clients.python.tests.servers import Handler
from clients.python.tests.test_stream import answer_each, people
from consent_client import ConsentClient, progress


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class TestProgress:
    def test_elsewhere_is_a_line_at_the_end(
        self, client_of: Callable[[Handler], ConsentClient], capsys: pytest.CaptureFixture[str]
    ) -> None:
        stream = client_of(answer_each).check_stream(list(people(100)), "newsletter", "email", show_progress=True)

        assert len(list(stream)) == 100
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("checked 100 of 100, 50 yes, ")
        assert line.endswith("/s")

    def test_elsewhere_is_a_line_every_while(
        self, client_of: Callable[[Handler], ConsentClient], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "EVERY", 0.0)
        out, stream = io.StringIO(), client_of(answer_each).check_stream(people(3), "newsletter", "email")

        assert len(list(progress.shown(stream, total=None, out=out))) == 3
        assert [line.split(",")[0] for line in out.getvalue().splitlines()] == [
            "checked 1",
            "checked 2",
            "checked 3",
            "checked 3",
        ]

    def test_on_a_terminal_is_a_bar(self, client_of: Callable[[Handler], ConsentClient]) -> None:
        out, stream = Terminal(), client_of(answer_each).check_stream(people(100), "newsletter", "email")

        assert len(list(progress.shown(stream, total=100, out=out))) == 100
        assert "100/100" in out.getvalue()
        assert "50 yes" in out.getvalue()

    def test_without_the_library_is_lines_also_there(
        self, client_of: Callable[[Handler], ConsentClient], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "HAS_RICH", False)
        out, stream = Terminal(), client_of(answer_each).check_stream(people(2), "newsletter", "email")

        assert len(list(progress.shown(stream, total=2, out=out))) == 2
        assert out.getvalue().startswith("checked 2 of 2, 1 yes, ")

    def test_is_not_shown_unasked(
        self, client_of: Callable[[Handler], ConsentClient], capsys: pytest.CaptureFixture[str]
    ) -> None:
        stream: Iterator[object] = client_of(answer_each).check_stream(people(2), "newsletter", "email")

        assert len(list(stream)) == 2
        assert capsys.readouterr() == ("", "")
