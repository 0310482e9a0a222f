"""Names what can go wrong. No message holds an address, a key or anything else that was sent."""

from dataclasses import dataclass, field


class ConsentClientError(Exception):
    """Everything that this package raises on its own account. None of it is ever a yes."""


class InsecureUrlError(ConsentClientError, ValueError):
    """The base URL would carry addresses and the key unprotected, or cannot be used."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that the service could not use: where it stands in the body, and what is wrong with it."""

    pointer: str
    code: str
    detail: str = field(default="", repr=False)


class RequestRefusedError(ConsentClientError):
    """The service read the request and refused it; repeating it unchanged will not help, and nothing was recorded."""

    def __init__(
        self, status: int, code: str, *, request_id: str | None = None, problems: tuple[FieldProblem, ...] = ()
    ) -> None:
        """Keep the problem document's parts; `code` is stable, `request_id` is what to quote."""
        where = "".join(f"; {problem.pointer}: {problem.code}" for problem in problems)
        super().__init__(f"{status} {code}{where}")
        self.status = status
        self.code = code
        self.request_id = request_id
        self.problems = problems


class KeyRefusedError(RequestRefusedError):
    """The API key is unknown or ended (401), or may not do this (403)."""


class InvalidRequestError(RequestRefusedError):
    """The request itself is wrong (400, 405, 413, 415, 422): a mistake in the calling program."""


class OutcomeUnknownError(ConsentClientError):
    """No clear answer came to an act, however often it was repeated: it may or may not be recorded.

    Repeat it later with the same `idempotency_key`: it is then recorded once, whatever happened before.
    """

    def __init__(self, idempotency_key: str, *, failure: str) -> None:
        """Keep the key of the act, and what became of the last attempt."""
        super().__init__(f"no clear answer ({failure}); repeat with idempotency_key={idempotency_key!r}")
        self.idempotency_key = idempotency_key
        self.failure = failure


class SendingRefusedError(ConsentClientError):
    """Nothing may be sent on this decision."""

    def __init__(self, why: str, *, decision_id: str | None) -> None:
        """Say why, and keep the id of the decision."""
        super().__init__(f"{why} (decision {decision_id})" if decision_id else why)
        self.decision_id = decision_id


class DecisionDeniedError(SendingRefusedError):
    """The decision is a no."""


class DecisionExpiredError(SendingRefusedError):
    """The decision was a yes and is none for now: its time is over, it never had one, or it speaks of the past."""
