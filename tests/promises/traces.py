"""Looks for a secret text in everything that was left behind, in every spelling that a program might have used."""

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import quote

import psycopg
from psycopg import sql

#: Shorter remains of a base64 text would be found by chance.
SHORTEST_REMAIN = 8


def spellings(secret: str) -> set[bytes]:
    """Return the secret as text in three cases, escaped, in hex, and as it looks inside a longer base64 text."""
    texts = {secret, secret.lower(), secret.upper(), secret.casefold(), quote(secret), quote(secret, safe="")}
    found = {text.encode() for text in texts} | {secret.encode("unicode_escape"), secret.encode("utf-16-le")}
    return found | {spelt for plain in tuple(found) for spelt in (*_hex(plain), *_base64(plain))}


def find(secrets: Iterable[str], places: dict[str, bytes]) -> list[str]:
    """Name the places in which a spelling of a secret stands."""
    wanted = {secret: spellings(secret) for secret in secrets}
    return [
        f"{secret} as {spelling!r} in {place}"
        for place, content in places.items()
        for secret, spelt in wanted.items()
        for spelling in spelt
        if spelling in content
    ]


def dump(url: str) -> dict[str, bytes]:
    """Return every row of every table, as text, by table."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            # What other sessions keep for a while is theirs alone, and gone at their commit.
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND NOT schemaname ^@ 'pg_temp'"
        ).fetchall()
        return {f"table {name}": _copy(connection, name) for (name,) in tables}


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.SQL(table))) as rows:
        return b"".join(bytes(part) for part in rows)


def _hex(plain: bytes) -> Iterator[bytes]:
    yield plain.hex().encode()
    yield plain.hex().upper().encode()


def _base64(plain: bytes) -> Iterator[bytes]:
    """Yield the middle of the three ways in which base64 can cut the text into groups of three bytes."""
    for offset in range(3):
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(offset) + plain)
            middle = whole[4 if offset else 0 : -4]
            if len(middle) >= SHORTEST_REMAIN:
                yield middle
