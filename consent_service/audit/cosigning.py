"""Which heads a witness has not seen yet, what it is shown, and what it said."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as insert_or_leave
from sqlalchemy.orm import Session

from consent_service.audit import logs, merkle
from consent_service.audit.logs import Log, SignedHead
from consent_service.audit.models import AuditCheckpoint, AuditCosignature
from consent_service.crypto import notes
from consent_service.crypto.notes import Signer, VerifierKey
from consent_service.db.session import controller_of


def find_head(session: Session) -> tuple[Log, SignedHead] | None:
    """Find the newest signed head of the log as it is now; None where nothing was signed."""
    log = logs.find(session)
    head = None if log is None else logs.find_checkpoint(session, log)
    return None if log is None or head is None else (log, head)


def known_size(session: Session, log: Log, *, witness: VerifierKey) -> int:
    """Return the size of the last head that a witness has cosigned in this epoch; 0 for none."""
    size = session.scalar(
        select(func.max(AuditCosignature.size)).where(
            AuditCosignature.controller_id == controller_of(session),
            AuditCosignature.epoch == log.epoch,
            AuditCosignature.witness == witness.vkey,
        )
    )
    return size or 0


def prove(session: Session, *, epoch: int, old_size: int, size: int) -> tuple[bytes, ...]:
    """Prove that the tree of `size` leaves begins with that of `old_size`; raises ProofInvalidError."""
    log = logs.get(session, epoch=epoch)
    return merkle.prove_consistency(old_size, size, logs.reader(session, log))


def record(session: Session, log: Log, head: SignedHead, *, signer: Signer, at: datetime) -> None:
    """Keep what a witness said of a head, and the head; of each hour a witness's last word is kept."""
    whose, hour = controller_of(session), func.date_trunc("hour", at)
    # A head that nobody had cosigned yet may have made room for a newer one meanwhile.
    session.execute(
        insert_or_leave(AuditCheckpoint)
        .values(
            controller_id=whose,
            epoch=log.epoch,
            size=head.size,
            root=head.root,
            note=head.note,
            signed_at=head.signed_at,
        )
        .on_conflict_do_nothing()
    )
    session.execute(
        insert_or_leave(AuditCosignature)
        .values(
            controller_id=whose,
            epoch=log.epoch,
            size=head.size,
            witness=signer.key.vkey,
            line=signer.line.removesuffix("\n"),
            signed_at=at,
        )
        .on_conflict_do_nothing()
    )
    session.execute(
        delete(AuditCosignature).where(
            AuditCosignature.controller_id == whose,
            AuditCosignature.epoch == log.epoch,
            AuditCosignature.witness == signer.key.vkey,
            AuditCosignature.size < head.size,
            func.date_trunc("hour", AuditCosignature.signed_at) == hour,
        )
    )


def cosigners(head: SignedHead, keys: tuple[VerifierKey, ...]) -> tuple[VerifierKey, ...]:
    """Return whose of these keys' cosignatures a head carries, each verified anew; raises NoteInvalidError."""
    if not head.cosignatures:
        return ()
    return tuple(signer.key for signer in notes.open_note(head.text, keys).signers)
