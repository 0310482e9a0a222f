"""Limits how often one network address may have mail sent: a limit that fails refuses, for mail can be misused."""

import ipaddress
import math
from datetime import datetime, timedelta
from typing import Final

from consent_service import web
from consent_service.admission import throttle
from consent_service.vault import keys
from consent_service.web.problems import ProblemError

_WINDOW: Final = timedelta(hours=1)
# What looks like a machine is not refused, for it may be a person: it has less to spend.
_SHARE_OF_THE_HASTY: Final = 3
# A household has one IPv4 address, and one block of IPv6 addresses.
_PREFIX_OF_VERSION: Final = {4: 32, 6: 56}


def admit(
    controller_id: str,
    remote_address: str | None,
    *,
    name: str,
    limit: int | None = None,
    is_hasty: bool = False,
    at: datetime,
) -> None:
    """Count a try in a transaction of its own; raises ProblemError with 429 once an address has had its share.

    Its share in an hour is `limit`, else that of sign-ups; 0 lets everybody through. The address itself is not kept,
    only a keyed hash of its block.
    """
    if limit is None:
        limit = web.service().settings.signups_per_ip_per_hour
    if limit == 0:
        return
    if is_hasty:
        name, limit = f"{name}-hasty", max(1, limit // _SHARE_OF_THE_HASTY)
    with web.service().database.transaction(controller_id) as session:
        key = keys.platform_hash(session, purpose="throttle", value=_block(remote_address).encode())
        state = throttle.hit(session, name=name, key_hash=key, limit=limit, window=_WINDOW, at=at)
    if not state.allowed:
        seconds = max(1, math.ceil((state.reset_at - at).total_seconds()))
        raise ProblemError("too_many_requests", headers={"Retry-After": str(seconds)})


def _block(remote_address: str | None) -> str:
    try:
        address = ipaddress.ip_address(remote_address or "")
    except ValueError:
        return "unknown"
    network = ipaddress.ip_network((address, _PREFIX_OF_VERSION[address.version]), strict=False)
    return str(network)
