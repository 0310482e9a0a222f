"""Facts that stop an act: of settings, keys and links, of what is asked for, and of what was sent before."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong in what was sent: a JSON pointer, a stable code, and a sentence without personal data."""

    pointer: str
    code: str
    detail: str


class ConsentServiceError(Exception):
    """A fact that stops an act; `code` is stable and safe to show to anybody."""

    code: ClassVar[str] = "internal_error"


class IdentifierInvalidError(ConsentServiceError, ValueError):
    """The text is not an id of the expected kind."""

    code: ClassVar[str] = "identifier_invalid"


class SettingsError(ConsentServiceError):
    """The environment of this process is wrong; the message names a variable, never its value."""

    code: ClassVar[str] = "settings_invalid"


class KeyFolderError(ConsentServiceError):
    """The key folder is missing, incomplete, damaged or open to other users."""

    code: ClassVar[str] = "key_folder_invalid"


class ServiceStartError(ConsentServiceError):
    """The service cannot start as it was asked to; the message says what to change."""

    code: ClassVar[str] = "service_start_failed"


class ProgramFailedError(ServiceStartError):
    """A program that has to run ended, or was not ready in time, before the service was."""

    code: ClassVar[str] = "program_failed"


class DatabaseStartError(ServiceStartError):
    """The embedded PostgreSQL cannot be set up or started; the message says what stands in the way."""

    code: ClassVar[str] = "database_start_failed"


class SealBrokenError(ConsentServiceError):
    """The sealed value was changed, moved, or sealed under another key."""

    code: ClassVar[str] = "seal_broken"


class KeyDestroyedError(ConsentServiceError):
    """The key that sealed this is gone, and with it what it sealed."""

    code: ClassVar[str] = "key_destroyed"


class LinkInvalidError(ConsentServiceError):
    """The link was not signed by this service for this purpose."""

    code: ClassVar[str] = "link_invalid"


class LinkExpiredError(ConsentServiceError):
    """The link was signed by this service and is older than it may be."""

    code: ClassVar[str] = "link_expired"


class ApiKeyInvalidError(ConsentServiceError):
    """The text is not an API key of this service, or the key has ended."""

    code: ClassVar[str] = "api_key_invalid"


class NotFoundError(ConsentServiceError):
    """What was named does not exist for this controller."""

    code: ClassVar[str] = "not_found"


class ControllerUnknownError(NotFoundError):
    """No controller has this key."""

    code: ClassVar[str] = "controller_unknown"


class PurposeUnknownError(NotFoundError):
    """The controller has no such purpose."""

    code: ClassVar[str] = "purpose_unknown"


class NoticeUnknownError(NotFoundError):
    """The purpose has no such notice version."""

    code: ClassVar[str] = "notice_unknown"


class FormUnknownError(NotFoundError):
    """There is no such form, or it has no version in force."""

    code: ClassVar[str] = "form_unknown"


class LanguageUnknownError(NotFoundError):
    """The form is not in this language; its texts are never mixed with another's (GDPR Art. 12(1))."""

    code: ClassVar[str] = "language_unknown"


class RecipientUnknownError(NotFoundError):
    """The controller has no such recipient."""

    code: ClassVar[str] = "recipient_unknown"


class ApiKeyUnknownError(NotFoundError):
    """The controller has no such API key."""

    code: ClassVar[str] = "api_key_unknown"


class SubjectUnknownError(NotFoundError):
    """Nobody is known under this reference."""

    code: ClassVar[str] = "subject_unknown"


class ConsentUnknownError(NotFoundError):
    """No declaration has this id."""

    code: ClassVar[str] = "consent_unknown"


class RevocationUnknownError(NotFoundError):
    """The controller has no such revocation."""

    code: ClassVar[str] = "revocation_unknown"


class InvalidInputError(ConsentServiceError):
    """What was sent cannot be understood; `problems` says where and why."""

    code: ClassVar[str] = "invalid_input"

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        """Keep what is wrong, for the door to show in its own form."""
        super().__init__(", ".join(f"{problem.pointer}: {problem.code}" for problem in problems))
        self.problems = problems


class AuditQueryInvalidError(InvalidInputError):
    """The query of the audit log cannot be understood; each problem says at which column."""

    code: ClassVar[str] = "audit_query_invalid"


class ContactPointInvalidError(InvalidInputError):
    """The text is not an e-mail address, a phone number or a postal address that can be reached."""

    code: ClassVar[str] = "contact_point_invalid"


class GuardianRequiredError(InvalidInputError):
    """The person is too young to consent alone, or did not say that they are old enough (GDPR Art. 8(1))."""

    code: ClassVar[str] = "guardian_required"


class NoticeIncompleteError(InvalidInputError):
    """The notice version lacks what the person must be told before the act (GDPR Art. 13)."""

    code: ClassVar[str] = "notice_incomplete"


class FormDefinitionError(InvalidInputError):
    """The form asks in a way that cannot give a valid consent."""

    code: ClassVar[str] = "form_definition_invalid"


class ConflictError(ConsentServiceError):
    """The act contradicts something that stands."""

    code: ClassVar[str] = "conflict"


class AlreadyExistsError(ConflictError):
    """Something with this key exists already."""

    code: ClassVar[str] = "already_exists"


class AlreadyPublishedError(ConflictError):
    """The notice version is in force and never changes."""

    code: ClassVar[str] = "already_published"


class BasisUnchangeableError(ConflictError):
    """The legal basis is fixed before the use begins and is not exchanged afterwards."""

    code: ClassVar[str] = "basis_unchangeable"


class NewerNoticePublishedError(ConflictError):
    """A later notice version was published before this one; history is not put back in force."""

    code: ClassVar[str] = "newer_notice_published"


class SuppressedError(ConflictError):
    """The address must not be recorded by anybody but the person's own confirmed act."""

    code: ClassVar[str] = "suppressed"


class ObjectedError(ConflictError):
    """The person objected; only their own confirmed act lifts that."""

    code: ClassVar[str] = "objected"


class SourceRecalledError(ConflictError):
    """What this comes from was recalled: it brings no consent any more."""

    code: ClassVar[str] = "source_recalled"


class RestrictedError(ConflictError):
    """Processing of this person's data is restricted (GDPR Art. 18)."""

    code: ClassVar[str] = "restricted"


class AlreadyMergedError(ConflictError):
    """One of the records was merged into another before, or others into the one that is to give way."""

    code: ClassVar[str] = "already_merged"


class IdempotencyInFlightError(ConflictError):
    """The same call is still running."""

    code: ClassVar[str] = "idempotency_in_flight"


class IdempotencyMismatchError(ConsentServiceError):
    """The idempotency key was used with another body."""

    code: ClassVar[str] = "idempotency_mismatch"


class MailRefusedError(ConsentServiceError):
    """The mail server refuses this mail for good."""

    code: ClassVar[str] = "mail_refused"


class RecipientRefusedError(MailRefusedError):
    """The mail server says that this address takes no mail."""

    code: ClassVar[str] = "recipient_refused"


class MailUnavailableError(ConsentServiceError):
    """The mail server cannot take this mail now."""

    code: ClassVar[str] = "mail_unavailable"


class SmsRefusedError(ConsentServiceError):
    """The gateway refuses this SMS for good."""

    code: ClassVar[str] = "sms_refused"


class SmsUnavailableError(ConsentServiceError):
    """The gateway cannot take this SMS now, or none is named."""

    code: ClassVar[str] = "sms_unavailable"


class RegistryUnsettledError(ConsentServiceError):
    """The registry changed again and again while a question was held against it."""

    code: ClassVar[str] = "registry_unsettled"


class SpoolUnavailableError(ConsentServiceError):
    """A decision cannot be written down here, so it is not answered either."""

    code: ClassVar[str] = "spool_unavailable"


class DecisionLineBrokenError(ConsentServiceError):
    """A line of the spool is not a decision, or the decision log does not take it."""

    code: ClassVar[str] = "decision_line_broken"


class DecisionUnknownError(NotFoundError):
    """No decision has this id, or it answered nothing about this person."""

    code: ClassVar[str] = "decision_unknown"


class ExportUnknownError(NotFoundError):
    """The controller has no such export."""

    code: ClassVar[str] = "export_unknown"


class ExportNotReadyError(ConflictError):
    """The file is not made yet, or never will be."""

    code: ClassVar[str] = "export_not_ready"


class ExportExpiredError(ConsentServiceError):
    """The file was kept for seven days and is gone."""

    code: ClassVar[str] = "export_expired"
