"""Every way to say no, drawn as a tree.

ConsentServiceError
├── IdentifierInvalidError
├── SettingsError
├── KeyFolderError
├── ServiceStartError
│   ├── DatabaseStartError
│   └── ProgramFailedError
├── NoteInvalidError
├── VerifierKeyInvalidError
├── PolicyInvalidError
├── WitnessFolderError
├── WitnessUnavailableError
├── WitnessRefusedError
├── WitnessContradictsError
├── WitnessAheadError
├── SealBrokenError
├── KeyDestroyedError
├── LinkInvalidError
├── LinkExpiredError
├── ApiKeyInvalidError
├── NotFoundError
│   ├── ControllerUnknownError
│   ├── PurposeUnknownError
│   ├── NoticeUnknownError
│   ├── FormUnknownError
│   ├── LanguageUnknownError
│   ├── RecipientUnknownError
│   ├── ApiKeyUnknownError
│   ├── SubjectUnknownError
│   ├── ConsentUnknownError
│   ├── DecisionUnknownError
│   ├── ExportUnknownError
│   ├── AuditEntryUnknownError
│   ├── LogUnknownError
│   └── TileUnknownError
├── InvalidInputError
│   ├── AuditQueryInvalidError
│   ├── ContactPointInvalidError
│   ├── GuardianRequiredError
│   ├── NoticeIncompleteError
│   └── FormDefinitionError
├── ConflictError
│   ├── AlreadyExistsError
│   ├── AlreadyPublishedError
│   ├── BasisUnchangeableError
│   ├── NewerNoticePublishedError
│   ├── SuppressedError
│   ├── ObjectedError
│   ├── RestrictedError
│   ├── AlreadyMergedError
│   ├── ExportNotReadyError
│   ├── NothingToRecoverError
│   ├── EntryWaitsError
│   └── IdempotencyInFlightError
├── IdempotencyMismatchError
├── ExportExpiredError
├── MailRefusedError
│   └── RecipientRefusedError
├── MailUnavailableError
├── SmsRefusedError
├── SmsUnavailableError
├── RegistryUnsettledError
├── SpoolUnavailableError
├── DecisionLineBrokenError
├── LogRefusedError
├── LogCopyError
├── ProofInvalidError
├── TileInvalidError
└── CheckpointInvalidError

A message carries ids and codes, never personal data or a secret: it may end in a log. Domain errors know no HTTP;
each door maps them once.
"""

from consent_service.errors.facts import (
    AlreadyExistsError,
    AlreadyMergedError,
    AlreadyPublishedError,
    ApiKeyInvalidError,
    ApiKeyUnknownError,
    AuditQueryInvalidError,
    BasisUnchangeableError,
    ConflictError,
    ConsentServiceError,
    ConsentUnknownError,
    ContactPointInvalidError,
    ControllerUnknownError,
    DatabaseStartError,
    DecisionLineBrokenError,
    DecisionUnknownError,
    ExportExpiredError,
    ExportNotReadyError,
    ExportUnknownError,
    FieldProblem,
    FormDefinitionError,
    FormUnknownError,
    GuardianRequiredError,
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    IdentifierInvalidError,
    InvalidInputError,
    KeyDestroyedError,
    KeyFolderError,
    LanguageUnknownError,
    LinkExpiredError,
    LinkInvalidError,
    MailRefusedError,
    MailUnavailableError,
    NewerNoticePublishedError,
    NotFoundError,
    NoticeIncompleteError,
    NoticeUnknownError,
    ObjectedError,
    ProgramFailedError,
    PurposeUnknownError,
    RecipientRefusedError,
    RecipientUnknownError,
    RegistryUnsettledError,
    RestrictedError,
    RevocationUnknownError,
    SealBrokenError,
    ServiceStartError,
    SettingsError,
    SmsRefusedError,
    SmsUnavailableError,
    SourceRecalledError,
    SpoolUnavailableError,
    SubjectUnknownError,
    SuppressedError,
)
from consent_service.errors.log import (
    AuditEntryUnknownError,
    CheckpointInvalidError,
    EntryWaitsError,
    LogCopyError,
    LogRefusedError,
    LogUnknownError,
    NoteInvalidError,
    NothingToRecoverError,
    PolicyInvalidError,
    ProofInvalidError,
    TileInvalidError,
    TileUnknownError,
    VerifierKeyInvalidError,
    WitnessAheadError,
    WitnessContradictsError,
    WitnessFolderError,
    WitnessRefusedError,
    WitnessUnavailableError,
)

__all__ = [
    "AlreadyExistsError",
    "AlreadyMergedError",
    "AlreadyPublishedError",
    "ApiKeyInvalidError",
    "ApiKeyUnknownError",
    "AuditEntryUnknownError",
    "AuditQueryInvalidError",
    "BasisUnchangeableError",
    "CheckpointInvalidError",
    "ConflictError",
    "ConsentServiceError",
    "ConsentUnknownError",
    "ContactPointInvalidError",
    "ControllerUnknownError",
    "DatabaseStartError",
    "DecisionLineBrokenError",
    "DecisionUnknownError",
    "EntryWaitsError",
    "ExportExpiredError",
    "ExportNotReadyError",
    "ExportUnknownError",
    "FieldProblem",
    "FormDefinitionError",
    "FormUnknownError",
    "GuardianRequiredError",
    "IdempotencyInFlightError",
    "IdempotencyMismatchError",
    "IdentifierInvalidError",
    "InvalidInputError",
    "KeyDestroyedError",
    "KeyFolderError",
    "LanguageUnknownError",
    "LinkExpiredError",
    "LinkInvalidError",
    "LogCopyError",
    "LogRefusedError",
    "LogUnknownError",
    "MailRefusedError",
    "MailUnavailableError",
    "NewerNoticePublishedError",
    "NotFoundError",
    "NoteInvalidError",
    "NothingToRecoverError",
    "NoticeIncompleteError",
    "NoticeUnknownError",
    "ObjectedError",
    "PolicyInvalidError",
    "ProgramFailedError",
    "ProofInvalidError",
    "PurposeUnknownError",
    "RecipientRefusedError",
    "RecipientUnknownError",
    "RegistryUnsettledError",
    "RestrictedError",
    "RevocationUnknownError",
    "SealBrokenError",
    "ServiceStartError",
    "SettingsError",
    "SmsRefusedError",
    "SmsUnavailableError",
    "SourceRecalledError",
    "SpoolUnavailableError",
    "SubjectUnknownError",
    "SuppressedError",
    "TileInvalidError",
    "TileUnknownError",
    "VerifierKeyInvalidError",
    "WitnessAheadError",
    "WitnessContradictsError",
    "WitnessFolderError",
    "WitnessRefusedError",
    "WitnessUnavailableError",
]
