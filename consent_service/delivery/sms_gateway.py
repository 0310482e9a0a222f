"""Ways for an SMS: a gateway that takes JSON over HTTP, and, in a demo, a folder."""

import http.client
import json
import re
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from consent_service import clock
from consent_service.delivery.sms import OutgoingSms
from consent_service.errors import SmsRefusedError, SmsUnavailableError

#: How long the gateway may take over one step, in seconds.
TIMEOUT_SECONDS: Final = 10.0

# Our login, our address and our pace are ours to mend, and the SMS waits for it.
_OURS: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


class HttpGateway:
    """Posts `{"to", "from", "text", "reference"}` to a URL; any answer below 300 means that the SMS was taken.

    The reference is the same however often one message is tried. Redirects are not followed.
    """

    def __init__(self, url: str, *, token: str | None, sender: str) -> None:
        self._url = urlsplit(url)
        self._token = token
        self._sender = sender

    def send(self, sms: OutgoingSms) -> None:
        """Post one SMS over a connection of its own; see SmsTransport for what it raises.

        No error keeps its cause or what the gateway said, for both may repeat the number.
        """
        try:
            status = self._post(sms)
        except (OSError, http.client.HTTPException) as error:
            raise SmsUnavailableError(f"the SMS gateway cannot be used: {type(error).__name__}") from None
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if is_client_error and status not in _OURS:
            raise SmsRefusedError(f"the SMS gateway refused the SMS with {status}")
        raise SmsUnavailableError(f"the SMS gateway put the SMS off with {status}")

    def _post(self, sms: OutgoingSms) -> int:
        body = {"to": sms.to, "from": self._sender, "text": sms.text, "reference": sms.message_id}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        path = f"{self._url.path or '/'}{'?' if self._url.query else ''}{self._url.query}"
        connection = self._connect()
        try:
            connection.request("POST", path, body=json.dumps(body).encode(), headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT_SECONDS)


class SmsFolder:
    """Keeps every SMS of a demo as `<n>-<to>.json`, whole or not at all; nothing leaves the machine."""

    def __init__(self, folder: Path, *, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, sms: OutgoingSms) -> None:
        """Keep one SMS; raises SmsUnavailableError where the disk takes no more."""
        document = {"to": sms.to, "from": self._sender, "text": sms.text, "sent_at": clock.now().isoformat()}
        name = re.sub(r"[^0-9+]", "_", sms.to)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = (re.match(r"\d+", path.name) for path in self._folder.glob("*.json"))
            number = 1 + max((int(match[0]) for match in taken if match), default=0)
            fresh = self._folder / f".{number}.new"
            fresh.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
            fresh.replace(self._folder / f"{number}-{name}.json")
        except OSError as error:
            raise SmsUnavailableError(f"the folder for SMS cannot be used: {type(error).__name__}") from None
