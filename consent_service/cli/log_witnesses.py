"""Shows the heads of the logs to witnesses, and says so where too few of them have seen a log for a day."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from consent_service import clock
from consent_service.audit import cosigning, logs, policy, publisher, witness_client
from consent_service.audit.logs import Log, SignedHead
from consent_service.audit.policy import Policy, PolicyWitness
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database, is_away
from consent_service.errors import (
    NoteInvalidError,
    WitnessAheadError,
    WitnessContradictsError,
    WitnessRefusedError,
    WitnessUnavailableError,
)
from consent_service.web import logs as log_lines

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

#: Told of a controller and an epoch whose witness knows of another history.
Contradict = Callable[[str, int], None]


class Witnesses:
    """Asks the witnesses of a policy about every log, one after the other."""

    def __init__(self, database: Database, rules: Policy, contradict: Contradict) -> None:
        self._database = database
        self._policy = rules
        self._contradict = contradict
        self._contradicted: set[tuple[str, int]] = set()
        self._unwitnessed: set[str] = set()
        #: The logs of which every witness has seen all there is, with epoch and size: these are not asked about.
        self._settled: dict[str, tuple[int, int]] = {}
        #: When to ask a witness again at all, and when about one log.
        self._ask_again: dict[tuple[str, str | None], float] = {}

    def show_all(self) -> None:
        """Show every log's newest head to every witness; raises DBAPIError where the database is away."""
        with self._database.platform_transaction() as session:
            heads = publisher.list_heads(session)
        for controller_id, epoch, size in heads:
            if self._settled.get(controller_id) != (epoch, size):
                with self._apart(controller_id):
                    self._show_log(controller_id)
        _contradicted.set(sum((controller_id, epoch) in self._contradicted for controller_id, epoch, _ in heads))
        _unwitnessed.set(len(self._unwitnessed))

    def _show_log(self, controller_id: str) -> None:
        with self._database.transaction(controller_id) as session:
            found = cosigning.find_head(session)
        if found is None:
            return
        log, head = found
        # All witnesses are shown the same head, so that a quorum can come together under it.
        answers = [self._show(controller_id, log, head, witness) for witness in self._policy.witnesses]
        if self.is_unwitnessed(controller_id):
            self._unwitnessed.add(controller_id)
            return
        self._unwitnessed.discard(controller_id)
        with self._database.transaction(controller_id) as session:
            shown = logs.find_checkpoint(session, log, size=log.size)
        if all(answers) and head.size == log.size and shown is not None and self._has_quorum(log.vkey, shown):
            self._settled[controller_id] = (log.epoch, log.size)

    def _show(self, controller_id: str, log: Log, head: SignedHead, witness: PolicyWitness) -> bool:
        """Show a head to one witness; True where there is nothing more to ask it about this head."""
        with self._database.transaction(controller_id) as session:
            known = cosigning.known_size(session, log, witness=witness.key)
        if witness.url is None or known == head.size or (controller_id, log.epoch) in self._contradicted:
            return True
        if max(self._ask_again.get((witness.name, of), 0.0) for of in (None, controller_id)) > time.monotonic():
            return False

        def prove(old_size: int) -> tuple[bytes, ...]:
            with self._database.transaction(controller_id) as session:
                return cosigning.prove(session, epoch=log.epoch, old_size=old_size, size=head.size)

        try:
            signer = witness_client.ask(witness.url, witness.key, note=head.note, old_size=known, prove=prove)
        except WitnessAheadError as error:
            # Another keeper of the same log may have shown a newer head meanwhile.
            if not self._is_signed(controller_id, log, size=error.size):
                self._stop(controller_id, log, code=error.code)
        except WitnessContradictsError as error:
            self._stop(controller_id, log, code=error.code)
        except (WitnessRefusedError, WitnessUnavailableError) as error:
            # Who does not watch one log may watch the others; who does not answer answers for none.
            about = controller_id if isinstance(error, WitnessRefusedError) else None
            self._ask_again[witness.name, about] = time.monotonic() + _UNAVAILABLE_SECONDS
            _log.warning("witness_unavailable", controller_id=controller_id, log=log.origin, code=error.code)
        else:
            with self._database.transaction(controller_id) as session:
                cosigning.record(session, log, head, signer=signer, at=clock.now())
            return True
        return False

    def _is_signed(self, controller_id: str, log: Log, *, size: int) -> bool:
        with self._database.transaction(controller_id) as session:
            newest = logs.find_checkpoint(session, log)
        return newest is not None and newest.size >= size

    def _stop(self, controller_id: str, log: Log, *, code: str) -> None:
        self._contradicted.add((controller_id, log.epoch))
        self._contradict(controller_id, log.epoch)
        _log.error("log_contradicted", controller_id=controller_id, log=log.origin, code=code)

    def is_unwitnessed(self, controller_id: str) -> bool:
        """Say whether a head has waited for the quorum for a day, and no newer one has it either."""
        a_day_ago = clock.now() - QUORUM_WITHIN
        with self._database.transaction(controller_id) as session:
            log = logs.get(session)
            for head in logs.list_newest_checkpoints(session, log):
                if self._has_quorum(log.vkey, head):
                    return False
                if head.signed_at <= a_day_ago:
                    about = {"controller_id": controller_id, "log": log.origin}
                    _log.error("log_unwitnessed", **about, finding="witness_missing")
                    return True
        return False

    @contextmanager
    def _apart(self, controller_id: str) -> Iterator[None]:
        """Keep what is wrong with one log from stopping the others; raises DBAPIError where the database is away."""
        try:
            yield
        except Exception as error:
            if is_away(error):
                raise
            _log.error("log_not_shown", controller_id=controller_id, **log_lines.describe(error))

    def _has_quorum(self, vkey: str, head: SignedHead) -> bool:
        keys = (VerifierKey.parse(vkey), *(witness.key for witness in self._policy.witnesses))
        try:
            return policy.is_satisfied(self._policy, cosigning.cosigners(head, keys))
        except NoteInvalidError:
            return False
