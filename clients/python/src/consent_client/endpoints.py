"""Knows where the service is and how it is reached, and refuses what would show addresses and the key to others."""

import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from consent_client.errors import InsecureUrlError

_KEY_CHARACTERS: Final = range(0x21, 0x7F)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


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
            "Host": self._host_header,
            "Authorization": f"Bearer {self.key}",
            "User-Agent": "consent-client-python/0.1",
            "Accept": "application/json, application/x-ndjson, application/problem+json",
            "Cache-Control": "no-store",
        }

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"{self._scheme}://{self._host_header}{self.path}"

    @property
    def _host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _DEFAULT_PORTS[self._scheme] else f"{name}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"


def read(base_url: str, api_key: str, *, tls: ssl.SSLContext | None) -> Endpoint:
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
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise InsecureUrlError("the base URL holds characters that no address has")
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


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
