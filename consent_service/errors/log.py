"""Facts about the audit log, its notes, proofs and witnesses."""

from typing import ClassVar

from consent_service.errors.facts import ConflictError, ConsentServiceError, NotFoundError


class NoteInvalidError(ConsentServiceError):
    """The text is no signed note, or a known key's signature does not verify, or no known key signed it."""

    code: ClassVar[str] = "note_invalid"


class VerifierKeyInvalidError(ConsentServiceError):
    """The text is not a public key of a log or a witness."""

    code: ClassVar[str] = "verifier_key_invalid"


class PolicyInvalidError(ConsentServiceError):
    """The file is no policy of logs and witnesses; the message names the line."""

    code: ClassVar[str] = "policy_invalid"


class WitnessFolderError(ConsentServiceError):
    """The folder of a witness is damaged, belongs to another witness, or cannot be used."""

    code: ClassVar[str] = "witness_folder_invalid"


class WitnessUnavailableError(ConsentServiceError):
    """The witness cannot be asked now, or answers what no witness answers."""

    code: ClassVar[str] = "witness_unavailable"


class WitnessRefusedError(ConsentServiceError):
    """The witness does not know the log, or not the key that signed the checkpoint."""

    code: ClassVar[str] = "witness_refused"


class WitnessContradictsError(ConsentServiceError):
    """The witness has seen another history of this log."""

    code: ClassVar[str] = "witness_contradicts"


class WitnessAheadError(ConsentServiceError):
    """The witness has seen more of this log than the checkpoint holds; `size` says how much."""

    code: ClassVar[str] = "witness_ahead"

    def __init__(self, message: str, *, size: int) -> None:
        """Keep the size that the witness knows: a publisher whose tree is smaller has lost entries."""
        super().__init__(message)
        self.size = size


class AuditEntryUnknownError(NotFoundError):
    """The log of this controller has no such entry."""

    code: ClassVar[str] = "audit_entry_unknown"


class TileUnknownError(NotFoundError):
    """The log has no such tile, or its signed head does not reach so far."""

    code: ClassVar[str] = "tile_unknown"


class EntryWaitsError(ConflictError):
    """The entry has no place in the log yet, or none that is under a signed head."""

    code: ClassVar[str] = "audit_entry_waits"


class LogUnknownError(NotFoundError):
    """There is no such log, or nothing in it yet."""

    code: ClassVar[str] = "log_unknown"


class LogRefusedError(ConsentServiceError):
    """What is in the database does not go on from what was signed before, so nothing more is signed."""

    code: ClassVar[str] = "log_refused"

    def __init__(self, finding: str, words: str) -> None:
        """Keep the finding's name, which the log shows for as long as it is refused."""
        super().__init__(f"{finding}: {words}")
        self.finding = finding


class LogCopyError(ConsentServiceError):
    """The copy of the log outside the database cannot be read or written."""

    code: ClassVar[str] = "log_copy_unavailable"


class NothingToRecoverError(ConflictError):
    """The log is not refused, or its recovery is on the way."""

    code: ClassVar[str] = "nothing_to_recover"


class ProofInvalidError(ConsentServiceError):
    """The proof does not show what it is said to show about the log, or there is nothing to prove."""

    code: ClassVar[str] = "proof_invalid"


class TileInvalidError(ConsentServiceError):
    """A tile, a bundle of entries or the path of one is damaged, or holds less of the log than it has to."""

    code: ClassVar[str] = "tile_invalid"


class CheckpointInvalidError(ConsentServiceError):
    """The text is not a head of a log, or says what no head can."""

    code: ClassVar[str] = "checkpoint_invalid"
