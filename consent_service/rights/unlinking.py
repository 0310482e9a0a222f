"""Makes sure that nothing in the database ties the audit entries of an erased person together (GDPR Art. 17).

What stays is in docs/threats.md: entries of one act show the same time, and so do the rows that were written with
them.
"""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy.orm import Session

from consent_service.audit import unlinking as audit_unlinking
from consent_service.consent import unlinking as consent_unlinking
from consent_service.exports import unlinking as export_unlinking
from consent_service.subjects import unlinking as subject_unlinking

#: Tables whose rows go on naming their audit entry, and why that ties nothing to a person.
KEPT: Final[Mapping[str, str]] = {
    "former_purpose_settings": "is about a purpose",
    "reservation_wash": "is about a file of the register, not about one person in it",
    "revocation": "is about a form, an API key or an import, not about one person",
}


def unlink(session: Session, *, subject_id: str, address_hashes: Collection[bytes] = ()) -> Mapping[str, int]:
    """Untie one record of a person from the log and return how many rows of each table changed; safe to repeat.

    Call it last in the transaction that destroys the person's key, after what waits was cancelled: the streams of
    this person are forgotten, and nothing can be written to them any more. `address_hashes` are those of the
    addresses the person held, which have to be taken while they can still be opened; they find the stops. Records
    that were merged are untied one by one. Only the role `retention` may.
    """
    streams = (
        *consent_unlinking.list_streams(session, subject_id=subject_id),
        *subject_unlinking.list_streams(session, address_hashes=address_hashes),
        *export_unlinking.list_streams(session, subject_id=subject_id),
    )
    return {
        **consent_unlinking.unlink(session, subject_id=subject_id),
        **subject_unlinking.unlink(session, subject_id=subject_id, address_hashes=address_hashes),
        **export_unlinking.unlink(session, subject_id=subject_id),
        **audit_unlinking.forget_person(session, subject_id=subject_id, streams=streams),
    }
