"""What tests of the registry begin with: a session of one controller, and a published newsletter."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.registry import notice_content, notices, purposes
from consent_service.registry.notices import NoticeVersion
from tests.builders import NOON
from tests.unit.registry.samples import a_notice_document


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    """Open a transaction of the controller."""
    with database.transaction(controller) as session:
        yield session


@pytest.fixture
def newsletter(session: Session) -> NoticeVersion:
    """Publish a purpose `newsletter` on email and sms, in force since NOON."""
    return publish_newsletter(session)


def publish_newsletter(session: Session) -> NoticeVersion:
    purposes.create(
        session,
        key="newsletter",
        legal_basis="consent",
        double_opt_in=True,
        valid_for_months=24,
        actor=trail.SYSTEM,
        at=NOON,
    )
    content = notice_content.parse(a_notice_document())
    notices.draft(session, purpose_key="newsletter", content=content, actor=trail.SYSTEM, at=NOON)
    return notices.publish(session, purpose_key="newsletter", number=1, material=True, actor=trail.SYSTEM, at=NOON)
