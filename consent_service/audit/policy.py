"""Whose word makes a checkpoint believable: the policy file of logs, witnesses and their quorum (C2SP tlog-policy).

A policy names the logs by their keys, the witnesses by theirs, and says how many of which witnesses must have
cosigned. A group counts as a witness of its own as soon as enough of its members have cosigned.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from consent_service.errors import PolicyInvalidError, VerifierKeyInvalidError

#: The quorum that asks for no cosignature.
NONE: Final = "none"
MAX_POLICY_BYTES: Final = 1024 * 1024

_SPACE: Final = re.compile(r"[ \t]+")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LEAST_OF_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose checkpoints are accepted; its key's name is its origin."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness under the name that it has in this file, with the prefix to which checkpoints are posted."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """A group that has cosigned as soon as `threshold` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Logs, witnesses and groups in the order of the file, and the name whose cosigning makes the quorum."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Every key of the policy, for opening a note with."""
        return (*(log.key for log in self.logs), *(witness.key for witness in self.witnesses))


@dataclass(slots=True)
class _Reading:
    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    quorum: str | None = None

    @property
    def names(self) -> set[str]:
        return {witness.name for witness in self.witnesses} | {group.name for group in self.groups}


def read(content: bytes) -> Policy:
    """Read a policy file; raises PolicyInvalidError that names the line and what is wrong there."""
    if len(content) > MAX_POLICY_BYTES:
        raise PolicyInvalidError("the policy is larger than a megabyte")
    # Names are octets to the format; this keeps any of them apart from any other.
    *lines, rest = content.decode("utf-8", "surrogateescape").split("\n")
    if rest:
        raise PolicyInvalidError(f"line {len(lines) + 1}: the last line has no newline; the file may have been cut off")
    reading = _Reading()
    for number, line in enumerate(lines, start=1):
        try:
            _read_line(reading, line)
        except (PolicyInvalidError, VerifierKeyInvalidError) as error:
            raise PolicyInvalidError(f"line {number}: {error}") from None
    if reading.quorum is None:
        raise PolicyInvalidError(f"line {max(1, len(lines))}: the file ends without a quorum line")
    return Policy(tuple(reading.logs), tuple(reading.witnesses), tuple(reading.groups), reading.quorum)


def is_satisfied(policy: Policy, cosigners: Collection[VerifierKey]) -> bool:
    """Tell whether those who cosigned a checkpoint make the policy's quorum; their signatures must be verified."""
    cosigned = {witness.name for witness in policy.witnesses if witness.key in cosigners}
    for group in policy.groups:
        # Members are always defined before their group, so one pass in the order of the file is enough.
        if sum(member in cosigned for member in group.members) >= group.threshold:
            cosigned.add(group.name)
    return policy.quorum == NONE or policy.quorum in cosigned


def is_witness_url(text: str) -> bool:
    """Tell whether a witness may be asked there: over https, or over http on this machine."""
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return bool(parts.hostname) and is_plain and has_port and (parts.scheme == "https" or is_local)


def _read_line(reading: _Reading, line: str) -> None:
    if any((char < " " and char != "\t") or char == "\x7f" for char in line):
        raise PolicyInvalidError("there is a control character (lines end in a newline alone)")
    words = _SPACE.split(line.strip(" \t"))
    if not words[0] or words[0].startswith("#"):
        return
    match words:
        case ["log", vkey, *urls] if len(urls) <= 1:
            _add_log(reading, vkey, *urls)
        case ["witness", name, vkey, *urls] if len(urls) <= 1:
            _add_witness(reading, name, vkey, *urls)
        case ["group", name, threshold, *members] if len(words) >= _LEAST_OF_GROUP:
            _add_group(reading, name, threshold, members)
        case ["quorum", name]:
            _set_quorum(reading, name)
        case _:
            raise PolicyInvalidError("expected log, witness, group or quorum with what belongs to it")


def _add_log(reading: _Reading, vkey: str, url: str | None = None) -> None:
    key = _parse_key(vkey, notes.ED25519, (log.key for log in reading.logs))
    reading.logs.append(PolicyLog(key, url))


def _add_witness(reading: _Reading, name: str, vkey: str, url: str | None = None) -> None:
    _demand_new(reading, name)
    key = _parse_key(vkey, notes.COSIGNATURE_V1, (witness.key for witness in reading.witnesses))
    if url is not None and not is_witness_url(url):
        raise PolicyInvalidError("a witness is asked over https; http is for this machine only")
    reading.witnesses.append(PolicyWitness(name, key, url))


def _add_group(reading: _Reading, name: str, threshold: str, members: list[str]) -> None:
    _demand_new(reading, name)
    for member in members:
        if member not in reading.names:
            raise PolicyInvalidError("a member of the group is not defined on a line before it")
        if member in reading.members:
            raise PolicyInvalidError("a member of the group is a member already: each counts once")
        reading.members.add(member)
    reading.groups.append(PolicyGroup(name, _count(threshold, of=len(members)), tuple(members)))


def _set_quorum(reading: _Reading, name: str) -> None:
    if reading.quorum is not None:
        raise PolicyInvalidError("there is a quorum line already")
    if name != NONE and name not in reading.names:
        raise PolicyInvalidError("the quorum is not defined on a line before it")
    reading.quorum = name


def _count(threshold: str, *, of: int) -> int:
    if threshold in {"any", "all"}:
        return 1 if threshold == "any" else of
    if not _COUNT.fullmatch(threshold) or int(threshold) > of:
        raise PolicyInvalidError(f"a group of {of} asks for any, all, or a number from 1 to {of}")
    return int(threshold)


def _demand_new(reading: _Reading, name: str) -> None:
    if name == NONE:
        raise PolicyInvalidError("the name none is taken")
    if name in reading.names:
        raise PolicyInvalidError("the name is defined already")


def _parse_key(vkey: str, kind: int, known: Iterable[VerifierKey]) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.kind != kind:
        raise PolicyInvalidError("the key is not of a log" if kind == notes.ED25519 else "the key is not of a witness")
    # The same key under two names would let one signer count twice.
    if key.public_key in {other.public_key for other in known}:
        raise PolicyInvalidError("the key is listed already")
    return key
