"""What rendering promises: nothing unescaped, nothing forgotten, local times, safe mails."""

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from jinja2 import UndefinedError

from consent_service.language import catalogues, rendering

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONTROLLER = SimpleNamespace(
    legal_name="Nordlys Sport AS",
    display_name="Nordlys Sport",
    organisation_number="999 999 999",
    privacy_contact="personvern@nordlys.example",
)
STATEMENT = "Ja, jeg vil ha e-post fra Nordlys Sport AS om <tilbud>."


def page(template: str, *, language: str = "nb", **context: object) -> str:
    frame: dict[str, Any] = {"controller": CONTROLLER, "choices_url": None, "languages": []}
    return rendering.render(template, language=language, **(frame | context))


def confirm_mail(language: str = "nb") -> rendering.RenderedMail:
    return rendering.render_mail(
        "confirm_signup",
        language=language,
        controller=CONTROLLER,
        form_title="Kundeklubb",
        asked_at=NOON,
        expires_at=NOON,
        statements=[STATEMENT],
        code="482913",
        confirm_url="https://samtykke.example/c/token",
        reject_url="https://samtykke.example/c/token/reject",
        privacy_url="https://samtykke.example/f/frm_x",
    )


class Document(HTMLParser):
    """Collects the tags of a document, and the hosts that a reader's program would fetch from or follow to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.hosts: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.hosts |= {urlsplit(value or "").netloc for name, value in attrs if name in {"href", "src", "action"}}


class TestRender:
    def test_it_escapes_what_comes_from_outside(self) -> None:
        said = page("pages/preferences_ask.html", post_url="/p", value='"><script>alert(1)</script>', faults=[])

        assert "<script" not in said
        assert "&lt;script&gt;" in said

    def test_a_forgotten_variable_is_an_error(self) -> None:
        with pytest.raises(UndefinedError):
            page("pages/preferences_ask.html", post_url="/p", faults=[])

    @pytest.mark.parametrize(
        ("language", "said"),
        [
            ("nb", "22. november 2026 kl. 13:00"),
            ("nn", "22. november 2026 kl. 13:00"),
            ("en", "22 November 2026 at 13:00"),
        ],
    )
    def test_times_are_those_of_the_controller(self, language: str, said: str) -> None:
        assert said in page(
            "pages/unsubscribed.html",
            language=language,
            address="k•••@e•••.no",
            withdrawn_at=NOON,
            form_url=None,
            reason_url=None,
            is_reason_kept=False,
        )

    @pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 429, 500, 503])
    @pytest.mark.parametrize("language", catalogues.offered())
    def test_every_failure_has_a_page_in_every_language(self, language: str, status: int) -> None:
        said = page(
            "pages/error.html", language=language, controller=None, said=status, request_id="r", retry_minutes=2
        )

        assert f'<html lang="{language}">' in said
        assert "<h1></h1>" not in said


class TestDefinition:
    @pytest.mark.parametrize("language", catalogues.offered())
    def test_it_is_json_and_says_the_texts_to_the_letter(self, language: str) -> None:
        box = SimpleNamespace(
            purpose="newsletter",
            title="Nytt fra H&M",
            channel="email",
            statement='Ja, "H&M" <b>',
            frequency_text="Ukentlig",
            product_types_text="Klær & sko",
            purpose_text="Tilbud",
            data_categories=("E-post",),
            recipients_text="Lager hos H&M",
            recipients=("H&M", "Post & Co"),
            valid_for_months=24,
            withdrawal_text="Når du vil",
            privacy_notice_url="https://nordlys.example/p",
        )
        form = SimpleNamespace(
            form_id="frm_x",
            form_version=1,
            title="H&M's form",
            intro="",
            submit_label="",
            boxes=(box, box),
            age_limit=13,
            age_conditioned={"newsletter"},
        )
        controller = SimpleNamespace(**vars(CONTROLLER) | {"legal_name": "H&M AS"})

        said = json.loads(
            page(
                "pages/definition.json",
                language=language,
                controller=controller,
                form=form,
                fields=[],
                snapshot="s",
                choices_url="https://samtykke.example/p",
                code_url="https://samtykke.example/f/frm_x/code",
                confirmations={"email": "email"},
            )
        )

        assert said["title"] == "H&M's form"
        assert said["boxes"][0]["statement"] == 'Ja, "H&M" <b>'
        assert any(fact.endswith(" H&M AS") for fact in said["boxes"][0]["facts"])
        assert said["boxes"][0]["terms"][-1][1] == "Lager hos H&M: Post & Co"
        assert said["withdrawal_texts"] == ["Når du vil"]
        assert "Nytt fra H&M." in said["age"]["terms"][0][1]


class TestRenderMail:
    @pytest.mark.parametrize("language", catalogues.offered())
    def test_text_and_html_say_the_same(self, language: str) -> None:
        mail = confirm_mail(language)

        for part in ("Nordlys Sport AS", "Kundeklubb", "482913", "13:00", "/c/token", "/c/token/reject"):
            assert part in mail.text
            assert part in mail.html
        assert STATEMENT in mail.text

    @pytest.mark.rule("DOI-12")
    @pytest.mark.rule("CAP-16")
    def test_it_carries_no_image_and_leads_to_no_other_host(self) -> None:
        mail = confirm_mail()

        found = Document(mail.html)

        assert found.hosts == {"samtykke.example"}
        assert not found.tags & {"img", "script", "link", "iframe", "form", "object", "video"}
        assert "url(" not in mail.html

    def test_its_styles_stand_in_the_elements(self) -> None:
        mail = confirm_mail()

        assert 'class="button" href="https://samtykke.example/c/token" style="' in mail.html
        assert "prefers-color-scheme: dark" in mail.html

    def test_markup_in_a_statement_stays_text(self) -> None:
        assert "&lt;tilbud&gt;" in confirm_mail().html

    def test_a_name_cannot_begin_another_header(self) -> None:
        controller = SimpleNamespace(**vars(CONTROLLER) | {"legal_name": "Nordlys\r\nBcc: a@b.example"})

        mail = rendering.render_mail(
            "preference_link",
            language="nb",
            controller=controller,
            asked_at=NOON,
            expires_at=NOON,
            preferences_url="https://samtykke.example/p/token",
        )

        assert mail.subject.splitlines() == [mail.subject]
