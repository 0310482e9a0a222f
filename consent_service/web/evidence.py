"""Reads from a request what evidence keeps of it: the address it came from and the program that sent it."""

from dataclasses import dataclass, field
from typing import Final

from flask import Request

_LONGEST_USER_AGENT: Final = 512


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """IP address and user agent: personal data, kept sealed and only for a year."""

    ip: str | None = field(repr=False)
    user_agent: str | None = field(repr=False)


def from_request(request: Request) -> RequestTrace:
    """Read the trace; the address counts as many proxies as the settings trust, and no more."""
    user_agent = request.headers.get("User-Agent", "").replace("\0", "")[:_LONGEST_USER_AGENT]
    return RequestTrace(ip=request.remote_addr, user_agent=user_agent or None)
