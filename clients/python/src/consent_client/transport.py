"""Carries one POST and its whole answer, within a time and a size, over a pool of connections."""

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from consent_client.errors import InsecureUrlError

MOST_BYTES: Final = 64 * 2**20
_PART: Final = 64 * 2**10
_KEY_CHARACTERS: Final = range(0x21, 0x7F)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class NoAnswerError(Exception):
    """No whole answer came; the message names the kind of failure and nothing else."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is, how it is reached, and the key that opens it."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of every call."""
        return {
            "Authorization": f"Bearer {self.key}",
            "User-Agent": "consent-client-python/0.1",
            "Accept": "application/json, application/x-ndjson, application/problem+json",
            "Cache-Control": "no-store",
        }

    @property
    def host_header(self) -> str:
        """Return the name of the host as a request says it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _DEFAULT_PORTS[self._scheme] else f"{name}:{self.port}"

    def url(self, path: str) -> str:
        """Return the whole address of a path of the API."""
        return f"{self._scheme}://{self.host_header}{self.path}{path}"

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_after: float | None = None


def endpoint(base_url: str, api_key: str, *, tls: ssl.SSLContext | None) -> Endpoint:
    """Read where the service is; raises InsecureUrlError for anything but https, except on loopback.

    Raises ValueError for a key that cannot stand in a header, without repeating it.
    """
    if not api_key or not all(ord(character) in _KEY_CHARACTERS for character in api_key):
        raise ValueError("the API key is empty or holds characters that no key has")
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise InsecureUrlError("the base URL cannot be read") from None
    if parts.hostname is None or parts.username is not None or parts.query or parts.fragment:
        raise InsecureUrlError("the base URL is a scheme, a host and perhaps a path, and nothing else")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts)):
        raise InsecureUrlError("only https protects addresses and the key; http is for this machine's own loopback")
    context = None
    if parts.scheme == "https":
        context = tls or ssl.create_default_context()
    return Endpoint(
        host=parts.hostname,
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        path=parts.path.rstrip("/"),
        tls=context,
        key=api_key,
    )


class Transport:
    """A pool of connections to one service; threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Open nothing yet."""
        self._endpoint = endpoint
        self._pool = urllib3.PoolManager(maxsize=16, ssl_context=endpoint.tls, retries=False)

    def post(
        self, path: str, payload: Mapping[str, object], *, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one JSON object and return the whole answer, whatever its status; raises NoAnswerError.

        `timeout` is in seconds, for the connection and every wait for bytes; no redirect is followed, for it would
        carry address and key elsewhere.
        """
        url, give_up_at = self._endpoint.url(path), time.monotonic() + timeout
        try:
            response = self._pool.request(
                "POST",
                url,
                body=json.dumps(payload).encode(),
                headers={**self._endpoint.headers, "Content-Type": "application/json", **(headers or {})},
                timeout=urllib3.Timeout(total=timeout),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            # Without the cause: its text and its frames may hold what was sent.
            raise NoAnswerError(type(error).__name__) from None
        try:
            body = _read(response, give_up_at=give_up_at)
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise NoAnswerError(type(error).__name__) from None
        finally:
            # A connection whose answer was read to its end has gone back to the pool already.
            response.close()
        return Reply(
            status=response.status,
            media_type=media_type(response.headers.get("Content-Type", "")),
            body=body,
            retry_after=_seconds(response.headers.get("Retry-After")),
        )

    def close(self) -> None:
        """Close every connection that waits in the pool."""
        self._pool.clear()


def media_type(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _read(response: urllib3.BaseHTTPResponse, *, give_up_at: float) -> bytes:
    body = bytearray()
    while part := response.read1(_PART):
        body += part
        if len(body) > MOST_BYTES:
            raise NoAnswerError("TooLong")
        if time.monotonic() > give_up_at:
            raise NoAnswerError("Timeout")
    return bytes(body)


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < len("1000000") else None


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
