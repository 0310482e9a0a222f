"""What a person sees of a form: whole, in one language, from the notices in force."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.errors import (
    AlreadyExistsError,
    FormDefinitionError,
    FormUnknownError,
    InvalidInputError,
    LanguageUnknownError,
)
from consent_service.registry import boxes, controllers, form_definition, forms, notice_content, notices, purposes
from consent_service.registry import recipients as recipient_list
from consent_service.registry.forms import FormVersion, ShownBox
from consent_service.registry.notices import NoticeVersion
from tests.builders import NOON
from tests.functional.registry.conftest import publish_newsletter
from tests.unit.registry.samples import a_form_document, a_notice_document

DAY = timedelta(days=1)


def create(session: Session, *, key: str = "kundeklubb", document: dict[str, Any] | None = None) -> FormVersion:
    definition = form_definition.parse(document or a_form_document())
    return forms.create(session, key=key, definition=definition, actor=trail.SYSTEM, at=NOON)


def add_version(session: Session, form: FormVersion, document: dict[str, Any], *, after: timedelta) -> FormVersion:
    definition = form_definition.parse(document)
    return forms.add_version(session, form_id=form.form_id, definition=definition, actor=trail.SYSTEM, at=NOON + after)


def republish(session: Session, document: dict[str, Any], *, after: timedelta) -> NoticeVersion:
    content = notice_content.parse(document)
    version = notices.draft(session, purpose_key="newsletter", content=content, actor=trail.SYSTEM, at=NOON + after)
    return notices.publish(
        session,
        purpose_key="newsletter",
        number=version.number,
        material=True,
        actor=trail.SYSTEM,
        at=NOON + after,
    )


@pytest.mark.usefixtures("newsletter")
class TestCreate:
    def test_its_id_tells_whose_it_is(self, session: Session, controller: str) -> None:
        form = create(session)

        tag = identifiers.form_controller_tag(form.form_id)
        assert controllers.find_id(session, tag=tag) == controller
        assert forms.find_id(session, key="kundeklubb") == form.form_id

    def test_a_key_is_taken_once(self, session: Session) -> None:
        create(session)

        with pytest.raises(AlreadyExistsError):
            create(session)

    def test_a_key_can_stand_in_an_address(self, session: Session) -> None:
        with pytest.raises(InvalidInputError):
            create(session, key="Kunde/klubb")

    @pytest.mark.rule("CAP-04")
    def test_it_offers_only_channels_of_the_notice(self, session: Session) -> None:
        document = a_form_document()
        document["offers"] = [{"purpose": "newsletter", "channel": "web"}]

        with pytest.raises(FormDefinitionError) as caught:
            create(session, document=document)

        assert [problem.code for problem in caught.value.problems] == ["channel_not_offered"]


@pytest.mark.usefixtures("newsletter")
class TestVersions:
    def test_an_earlier_version_stays_as_it_was(self, session: Session) -> None:
        first = create(session)
        document = a_form_document() | {"titles": {"nb": "Ny", "en": "New"}}

        second = add_version(session, first, document, after=DAY)

        assert forms.current(session, form_id=first.form_id, at=NOON) == first
        assert forms.current(session, form_id=first.form_id, at=NOON + DAY) == second
        assert forms.get_version(session, form_id=first.form_id, number=1) == first
        assert forms.list_all(session, at=NOON + DAY) == (second,)

    def test_a_form_is_unknown_before_it_was_made(self, session: Session) -> None:
        form = create(session)

        with pytest.raises(FormUnknownError):
            forms.current(session, form_id=form.form_id, at=NOON - DAY)


class TestTenants:
    def test_another_controllers_form_is_unknown(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        with database.transaction(controller) as session:
            publish_newsletter(session)
            form = create(session)

        with database.transaction(other_controller) as session:
            assert forms.list_all(session, at=NOON) == ()
            with pytest.raises(FormUnknownError):
                forms.current(session, form_id=form.form_id, at=NOON)


@pytest.mark.usefixtures("newsletter")
class TestShown:
    def test_it_says_everything_at_the_box(self, session: Session, newsletter: NoticeVersion) -> None:
        shown = forms.shown(session, form=create(session), language="nb", at=NOON)

        assert shown.controller.legal_name == "Nordlys AS"
        assert shown.boxes == (
            ShownBox(
                purpose="newsletter",
                channel="email",
                notice_id=newsletter.id,
                notice_number=1,
                title="Newsletter (nb)",
                statement="Yes, I want email from Nordlys Sport AS (nb).",
                frequency_text="twice a month (nb)",
                short_text="email (nb)",
                product_types_text="sports gear (nb)",
                purpose_text="We tell you what is new (nb).",
                data_categories=("e-mail address (nb)", "phone number (nb)"),
                recipients=(),
                recipients_text="Nobody else gets your data (nb).",
                withdrawal_text="You can withdraw at any time (nb).",
                privacy_notice_url="https://nordlys.example/nb/privacy",
                valid_for_months=24,
            ),
        )

    @pytest.mark.rule("CAP-01")
    def test_there_is_no_word_for_a_ticked_box(self) -> None:
        assert {field.name for field in fields(ShownBox)}.isdisjoint({"checked", "default", "required", "selected"})

    @pytest.mark.rule("CAP-07")
    @pytest.mark.parametrize(("language", "other"), [("nb", "(en)"), ("en", "(nb)")])
    def test_languages_are_never_mixed(self, session: Session, language: str, other: str) -> None:
        shown = forms.shown(session, form=create(session), language=language, at=NOON)

        assert f"({language})" in repr(shown)
        assert other not in repr(shown)

    @pytest.mark.rule("CAP-07")
    def test_a_box_without_the_language_is_not_shown(self, session: Session) -> None:
        form = create(session)
        document = a_notice_document()
        del document["languages"]["en"]
        republish(session, document, after=DAY)

        shown = forms.shown(session, form=form, language="en", at=NOON + DAY)

        assert shown.boxes == ()
        assert forms.shown(session, form=form, language="nb", at=NOON + DAY).boxes

    def test_a_language_that_the_form_does_not_have_is_unknown(self, session: Session) -> None:
        form = create(session)

        with pytest.raises(LanguageUnknownError):
            forms.shown(session, form=form, language="nn", at=NOON)

    def test_a_retired_purpose_is_not_shown(self, session: Session) -> None:
        form = create(session)
        purposes.retire(session, key="newsletter", actor=trail.SYSTEM, at=NOON + DAY)

        assert forms.shown(session, form=form, language="nb", at=NOON).boxes
        assert forms.shown(session, form=form, language="nb", at=NOON + DAY).boxes == ()

    def test_recipients_are_named(self, session: Session) -> None:
        recipient_list.create(
            session,
            key="mail_supplier",
            legal_name="Postduen AS",
            role="processor",
            country="NO",
            agreement="Data processing agreement of 2026-01-15",
            actor=trail.SYSTEM,
            at=NOON,
        )
        form = create(session)
        republish(session, a_notice_document() | {"recipients": ["mail_supplier"]}, after=DAY)

        shown = forms.shown(session, form=form, language="nb", at=NOON + DAY)

        assert shown.boxes[0].recipients == ("Postduen AS",)


@pytest.mark.usefixtures("newsletter")
class TestBoxes:
    def test_all_in_force_has_one_per_purpose_and_channel(self, session: Session) -> None:
        told = boxes.all_in_force(session, language="nb", at=NOON)

        assert [(box.purpose, box.channel) for box in told] == [("newsletter", "email"), ("newsletter", "sms")]

    def test_what_an_old_version_told_can_be_told_again(self, session: Session, newsletter: NoticeVersion) -> None:
        before = boxes.of_notice(session, notice=newsletter, channel="email", language="nb")
        document = a_notice_document()
        document["languages"]["nb"]["title"] = "Noe annet"
        republish(session, document, after=DAY)

        old = notices.get(session, notice_id=newsletter.id)

        assert boxes.of_notice(session, notice=old, channel="email", language="nb") == before

    def test_nothing_is_told_about_a_channel_it_does_not_have(
        self, session: Session, newsletter: NoticeVersion
    ) -> None:
        assert boxes.of_notice(session, notice=newsletter, channel="web", language="nb") is None
