"""Shows the heads of the logs to witnesses, and says so where too few of them have seen a log for a day."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from consent_service import clock
from consent_service.audit import cosigning, logs, policy, publisher, witness_client
from consent_service.audit.logs import Log, SignedHead
from consent_service.audit.policy import Policy, PolicyWitness
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database
from consent_service.errors import (
    NoteInvalidError,
    WitnessAheadError,
    WitnessContradictsError,
    WitnessRefusedError,
    WitnessUnavailableError,
)

#: How often witnesses are shown what is new, and how long a log may be without a quorum; in seconds.
ROUND_SECONDS: Final = 10.0
QUORUM_WITHIN: Final = timedelta(hours=24)
_UNAVAILABLE_SECONDS: Final = 60.0

_registry = CollectorRegistry()
_unwitnessed = Gauge(
    "consent_log_unwitnessed",
    "Logs that the quorum of witnesses has not seen for a day. Anything but 0 is an alarm.",
    registry=_registry,
    multiprocess_mode="mostrecent",
)
_contradicted = Gauge(
    "consent_log_contradicted",
    "Logs of which a witness has seen another history, or more than there is. Anything but 0 is an alarm.",
    registry=_registry,
    multiprocess_mode="mostrecent",
)

_log = structlog.get_logger(__name__)

#: Told of a controller and an epoch whose witness knows of another history, with the name of the finding.
Contradict = Callable[[str, int, str], None]


class Witnesses:
    """Asks the witnesses of a policy about every log, one after the other."""

    def __init__(self, database: Database, rules: Policy, contradict: Contradict) -> None:
        self._database = database
        self._policy = rules
        self._contradict = contradict
        self._contradicted: set[tuple[str, int]] = set()
        #: When to ask a witness again at all, and when about one log.
        self._ask_again: dict[tuple[str, str | None], float] = {}

    def show_all(self) -> None:
        """Show every log's newest head to every witness; raises DBAPIError where the database is away."""
        with self._database.platform_transaction() as session:
            controllers = [controller_id for controller_id, _, _ in publisher.list_heads(session)]
        for controller_id in controllers:
            with self._database.transaction(controller_id) as session:
                found = cosigning.find_head(session)
            if found is not None:
                # All witnesses are shown the same head, so that a quorum can come together under it.
                for witness in self._policy.witnesses:
                    self._show(controller_id, *found, witness)
        _contradicted.set(len(self._contradicted))
        _unwitnessed.set(sum(self.is_unwitnessed(controller_id) for controller_id in controllers))

    def _show(self, controller_id: str, log: Log, head: SignedHead, witness: PolicyWitness) -> None:
        with self._database.transaction(controller_id) as session:
            known = cosigning.known_size(session, log, witness=witness.key)
        times = (self._ask_again.get((witness.name, of), 0.0) for of in (None, controller_id))
        is_later = max(times) > time.monotonic()
        is_over = known == head.size or (controller_id, log.epoch) in self._contradicted
        if witness.url is None or is_later or is_over:
            return

        def prove(old_size: int) -> tuple[bytes, ...]:
            with self._database.transaction(controller_id) as session:
                return cosigning.prove(session, epoch=log.epoch, old_size=old_size, size=head.size)

        try:
            signer = witness_client.ask(witness.url, witness.key, note=head.note, old_size=known, prove=prove)
        except (WitnessAheadError, WitnessContradictsError) as error:
            self._contradicted.add((controller_id, log.epoch))
            self._contradict(controller_id, log.epoch, "not_append_only")
            _log.error("log_contradicted", controller_id=controller_id, log=log.origin, code=error.code)
        except (WitnessRefusedError, WitnessUnavailableError) as error:
            # Who does not watch one log may watch the others; who does not answer answers for none.
            about = controller_id if isinstance(error, WitnessRefusedError) else None
            self._ask_again[witness.name, about] = time.monotonic() + _UNAVAILABLE_SECONDS
            _log.warning("witness_unavailable", controller_id=controller_id, log=log.origin, code=error.code)
        else:
            with self._database.transaction(controller_id) as session:
                cosigning.record(session, log, head, signer=signer, at=clock.now())

    def is_unwitnessed(self, controller_id: str) -> bool:
        """Say whether no head of the last day has the quorum, though the log has heads that are older."""
        with self._database.transaction(controller_id) as session:
            log = logs.get(session)
            heads = [] if log.size == 0 else list(logs.list_checkpoints(session, log))
        if not heads or log.opened_at > clock.now() - QUORUM_WITHIN:
            return False
        newest_seen = max((head.signed_at for head in heads if self._has_quorum(log.vkey, head)), default=None)
        unseen_since = min(
            (head.signed_at for head in heads if newest_seen is None or head.signed_at > newest_seen), default=None
        )
        if unseen_since is None or unseen_since > clock.now() - QUORUM_WITHIN:
            return False
        _log.error("log_unwitnessed", controller_id=controller_id, log=log.origin, finding="witness_missing")
        return True

    def _has_quorum(self, vkey: str, head: SignedHead) -> bool:
        keys = (VerifierKey.parse(vkey), *(witness.key for witness in self._policy.witnesses))
        try:
            return policy.is_satisfied(self._policy, cosigning.cosigners(head, keys))
        except NoteInvalidError:
            return False
