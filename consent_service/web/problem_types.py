"""The kinds of problem that the service answers with; each has a page of its own under /problems/."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from consent_service.errors import ConsentServiceError


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem: a stable code, its HTTP status, and words that never depend on what was sent."""

    code: str
    status: int
    title: str
    explanation: str


_ALL: Final = (
    ProblemType("bad_request", 400, "Bad request", "The request cannot be understood."),
    ProblemType("json_invalid", 400, "The body is not JSON", "Send one JSON object, encoded in UTF-8."),
    ProblemType(
        "idempotency_key_invalid",
        400,
        "The Idempotency-Key cannot be used",
        "Send a quoted string, or a bare one, of 1 to 255 printable ASCII characters.",
    ),
    ProblemType(
        "cursor_invalid", 400, "The cursor is not ours", "Take cursors from `next_cursor` and do not alter them."
    ),
    ProblemType(
        "authentication_required",
        401,
        "An API key is needed",
        "Send the key of your system in the header `Authorization: Bearer cs_…`.",
    ),
    ProblemType(
        "api_key_invalid",
        401,
        "The API key is not valid",
        "It is misspelt, unknown, expired or revoked. Ask the controller's administrator for another one.",
    ),
    ProblemType("forbidden", 403, "Not allowed", "This caller may not do this."),
    ProblemType(
        "scope_missing",
        403,
        "The API key lacks the scope",
        "The reference names the scope of each route. A key's scopes never change; use another key.",
    ),
    ProblemType(
        "purpose_not_allowed",
        403,
        "The API key is limited to other purposes",
        "This key may act for the purposes that it was made for, and only when the request names one of them.",
    ),
    ProblemType(
        "form_not_allowed",
        403,
        "The API key is limited to other forms",
        "This key may report acts on the forms that it was made for.",
    ),
    ProblemType("not_found", 404, "Not found", "There is nothing here, or it belongs to another controller."),
    ProblemType("identifier_invalid", 404, "Not an id of this kind", "An id is a prefix and 26 letters and digits."),
    ProblemType("controller_unknown", 404, "Unknown controller", "No controller has this key."),
    ProblemType("purpose_unknown", 404, "Unknown purpose", "The controller has no such purpose."),
    ProblemType("notice_unknown", 404, "Unknown notice version", "The purpose has no such notice version."),
    ProblemType("form_unknown", 404, "Unknown form", "There is no such form, or no version of it is in force."),
    ProblemType("language_unknown", 404, "Not in this language", "`languages` lists those that the form has."),
    ProblemType("api_key_unknown", 404, "Unknown API key", "The controller has no such API key."),
    ProblemType("language_unknown", 404, "Unknown language", "The form is not offered in this language."),
    ProblemType("api_key_unknown", 404, "Unknown API key", "The controller has no such key."),
    ProblemType("recipient_unknown", 404, "Unknown recipient", "The controller has no such recipient."),
    ProblemType("subject_unknown", 404, "Unknown subject", "Nobody is known under this reference."),
    ProblemType("consent_unknown", 404, "Unknown declaration", "No declaration of this controller has this id."),
    ProblemType(
        "decision_unknown", 404, "Unknown decision", "No decision of this controller has this id and this person."
    ),
    ProblemType("log_unknown", 404, "Unknown log", "The log has no leaf yet, or no such epoch."),
    ProblemType("audit_entry_unknown", 404, "Unknown audit entry", "The log of this controller has no such entry."),
    ProblemType("export_unknown", 404, "Unknown export", "The controller has no such export."),
    ProblemType("tile_unknown", 404, "Unknown tile", "The log has no such tile, or is not signed so far."),
    ProblemType("revocation_unknown", 404, "Unknown revocation", "The controller has no such revocation."),
    ProblemType("link_invalid", 404, "The link is not ours", "It was cut off on the way, or made for something else."),
    ProblemType("method_not_allowed", 405, "Method not allowed", "The header Allow lists the methods of this address."),
    ProblemType("not_acceptable", 406, "Not acceptable", "None of the formats that were asked for is offered here."),
    ProblemType("request_timeout", 408, "The request came too slowly", "Send the whole request at once."),
    ProblemType("conflict", 409, "Conflict", "The act contradicts something that stands."),
    ProblemType("already_exists", 409, "Exists already", "Something with this key exists already."),
    ProblemType(
        "basis_unchangeable",
        409,
        "The legal basis is not exchanged",
        "It was fixed before the use began (GDPR Art. 6). Make another purpose, and ask people anew.",
    ),
    ProblemType("already_published", 409, "Published already", "A published notice version never changes."),
    ProblemType(
        "newer_notice_published",
        409,
        "A later version was published",
        "An older version is not put back in force; draft its texts as a new one.",
    ),
    ProblemType(
        "newer_notice_published",
        409,
        "A newer notice is published",
        "A notice version comes into force after those that were published before it, and never before them.",
    ),
    ProblemType(
        "suppressed",
        409,
        "The address is suppressed",
        "Only the person's own confirmed act may lift this; no other system can.",
    ),
    ProblemType(
        "objected",
        409,
        "The person objected to marketing",
        "Only the person's own confirmed act may lift this (GDPR Art. 21).",
    ),
    ProblemType("restricted", 409, "Processing is restricted", "The person's data is restricted (GDPR Art. 18)."),
    ProblemType(
        "already_merged",
        409,
        "Merged already",
        "A record is merged once, and one that others were merged into can only go on: merge into that one instead.",
    ),
    ProblemType(
        "audit_entry_waits",
        409,
        "The entry has no proof yet",
        "Entries get their place, and a signed head over them, within seconds. Retry-After says when to ask again.",
    ),
    ProblemType(
        "source_recalled",
        409,
        "The source was recalled",
        "The controller recalled the form, key or import that this comes from while it was under way.",
    ),
    ProblemType(
        "export_not_ready",
        409,
        "The file is not ready",
        "Ask for the export itself: `status` says whether it is still being made, or why it cannot be.",
    ),
    ProblemType("idempotency_in_flight", 409, "The same call is still running", "Wait a moment and repeat the call."),
    ProblemType("export_expired", 410, "The file is gone", "Files are kept for seven days. Ask for another one."),
    ProblemType("link_expired", 410, "The link is too old", "Ask for a new one."),
    ProblemType(
        "key_destroyed", 410, "The data is gone", "The key that sealed it was destroyed, and with it the data."
    ),
    ProblemType("body_too_large", 413, "The body is too large", "A body has at most 262,144 bytes."),
    ProblemType("uri_too_long", 414, "The address is too long", "Send less in the query."),
    ProblemType("media_type_unsupported", 415, "Unsupported media type", "Send `Content-Type: application/json`."),
    ProblemType("invalid_input", 422, "The content is not valid", "`errors` says where and why."),
    ProblemType(
        "audit_query_invalid",
        422,
        "The query cannot be understood",
        "`places` says at which column, why, and what would be right.",
    ),
    ProblemType("contact_point_invalid", 422, "Not a contact point", "`errors` says where and why."),
    ProblemType(
        "guardian_required",
        422,
        "A guardian has to act",
        "The person is below the age limit, or did not say their age. A guardian's act is reported as theirs.",
    ),
    ProblemType("notice_incomplete", 422, "The notice is incomplete", "`errors` lists what is missing (GDPR Art. 13)."),
    ProblemType(
        "form_definition_invalid",
        422,
        "The form cannot give a valid consent",
        "`errors` lists what must change (GDPR Art. 4(11) and 7).",
    ),
    ProblemType(
        "idempotency_mismatch",
        422,
        "The Idempotency-Key was used with another body",
        "Use a new key for a new call, and the same body when repeating one.",
    ),
    ProblemType("too_many_requests", 429, "Too many requests", "Wait as long as the header Retry-After says."),
    ProblemType("headers_too_large", 431, "The headers are too large", "Send fewer or shorter headers."),
    ProblemType("internal_error", 500, "The service failed", "Nothing was changed. Quote the request id when asking."),
    ProblemType("settings_invalid", 500, "The service is set up wrongly", "Its operator finds the reason in the log."),
    ProblemType("key_folder_invalid", 500, "The service lacks its keys", "Its operator finds the reason in the log."),
    ProblemType("seal_broken", 500, "A stored value cannot be opened", "It was changed or sealed under another key."),
    ProblemType("not_implemented", 501, "Not implemented", "The service does not do this."),
    ProblemType("unavailable", 503, "Unavailable", "The service cannot answer now. Nothing was changed; try again."),
    ProblemType(
        "spool_unavailable",
        503,
        "Decisions cannot be written down",
        "No check is answered that could not be shown later. The operator finds the reason in the log.",
    ),
    ProblemType("sms_refused", 503, "The SMS was refused", "The SMS gateway refuses this SMS."),
    ProblemType(
        "sms_unavailable", 503, "SMS is unavailable", "The SMS gateway takes no SMS now; it will go out later."
    ),
    ProblemType("mail_refused", 503, "The mail was refused", "The mail server refuses this mail."),
    ProblemType(
        "mail_unavailable", 503, "Mail is unavailable", "The mail server takes no mail now; it will go out later."
    ),
)

TYPES: Final[Mapping[str, ProblemType]] = MappingProxyType({each.code: each for each in _ALL})

_BY_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: "authentication_required",
        403: "forbidden",
        404: "not_found",
        405: "method_not_allowed",
        406: "not_acceptable",
        408: "request_timeout",
        409: "conflict",
        413: "body_too_large",
        414: "uri_too_long",
        415: "media_type_unsupported",
        422: "invalid_input",
        429: "too_many_requests",
        431: "headers_too_large",
        501: "not_implemented",
        503: "unavailable",
    }
)
_FIRST_SERVER_STATUS: Final = 500


def of_status(status: int) -> ProblemType:
    """Get the kind of problem that a bare HTTP status stands for."""
    other = "bad_request" if status < _FIRST_SERVER_STATUS else "internal_error"
    return TYPES[_BY_STATUS.get(status, other)]


def of_error(error: ConsentServiceError) -> ProblemType:
    """Get the kind of problem that a domain error is: its own, or that of the nearest error above it in the tree."""
    for kind in type(error).__mro__:
        found = TYPES.get(getattr(kind, "code", ""))
        if found is not None:
            return found
    return TYPES["internal_error"]
