"""Makes a database and a key folder ready for the service: keys, roles, migrations, fingerprints, the demo's world.

Keys are created for a new database and never silently again: a database that knows fingerprints is only ever used with
the folder that has those keys. Passwords of the login roles lie beside the keys.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import Connection, create_engine, insert, inspect, make_url, select
from sqlalchemy.engine import URL

from consent_service import clock
from consent_service.audit import logs
from consent_service.cli import demo_world
from consent_service.clock import OFFSET_FILE_VARIABLE
from consent_service.crypto import keyring
from consent_service.crypto.keyring import Keyring
from consent_service.db import migrate, roles
from consent_service.db.roles import Roles
from consent_service.db.session import Database, make_engine
from consent_service.errors import KeyFolderError, ServiceStartError
from consent_service.vault import keys as vault_keys
from consent_service.vault.models import Installation, KeyFingerprint

LOGINS: Final = "logins.json"
APP_URL: Final = "DATABASE_URL_APP"
WORKER_URL: Final = "DATABASE_URL_WORKER"
RETENTION_URL: Final = "DATABASE_URL_RETENTION"
SEQUENCER_URL: Final = "DATABASE_URL_SEQUENCER"
LOG_KEYS: Final = "CONSENT_LOG_KEYS"
LOG_COPY: Final = "CONSENT_LOG_COPY"

_URL_OF: Final = {"app": APP_URL, "worker": WORKER_URL, "retention": RETENTION_URL, "sequencer": SEQUENCER_URL}


@dataclass(frozen=True, slots=True)
class PreparedDatabase:
    """A database that is ready, and the variables that web server and worker are started with."""

    environment: Mapping[str, str] = field(repr=False)


def prepare(*, migrator_url: str, data_dir: Path, keys_dir: Path, demo: bool, public_url: str) -> PreparedDatabase:
    """Make everything ready and return what the processes need; safe to repeat after a crash at any point.

    Raises KeyFolderError for a key folder that is not this database's, and ServiceStartError for a database that was
    made for something else.
    """
    is_new = _is_new(migrator_url)
    log_keys_dir = Path(os.environ.get(LOG_KEYS) or keys_dir / "log")
    keys = _keys(keys_dir, is_new=is_new)
    if not is_new:
        _demand_ours(migrator_url, keys, demo=demo)
    logins = _logins(migrator_url, keys_dir)
    migrate.upgrade(migrator_url, roles=logins.roles)
    owner = create_engine(migrator_url, hide_parameters=True)
    try:
        with owner.begin() as connection:
            _mark(connection, demo=demo)
            _remember(connection, keys)
            _remember_log_key(connection, log_keys_dir)
    finally:
        owner.dispose()
    environment = {
        **logins.environment,
        "CONSENT_KEYS": str(keys_dir),
        "CONSENT_DATA": str(data_dir),
        LOG_KEYS: str(log_keys_dir),
        LOG_COPY: os.environ.get(LOG_COPY) or str(data_dir / "log-copy"),
        "PUBLIC_URL": public_url,
        "CONSENT_DEMO": "1" if demo else "0",
    }
    _ensure_platform_keys(logins.environment[APP_URL], keys)
    if demo:
        clock_file = data_dir / "clock"
        os.environ[OFFSET_FILE_VARIABLE] = str(clock_file)
        environment[OFFSET_FILE_VARIABLE] = str(clock_file)
        _seed(logins.environment[APP_URL], keys, data_dir=data_dir, public_url=public_url)
    return PreparedDatabase(environment)


def open_database(*, migrator_url: str, keys_dir: Path, part: str = "app") -> Database:
    """Open a database that is in use, with the login of a part, for a command beside the running service.

    Raises KeyFolderError where the folder has no keys or no logins.
    """
    variable = _URL_OF[part]
    if variable in os.environ:
        return Database(make_engine(os.environ[variable]), keyring.load_keyring(keys_dir))
    try:
        passwords = json.loads((keys_dir / LOGINS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KeyFolderError(f"{keys_dir} has no {LOGINS}: start the service once") from None
    url = make_url(migrator_url)
    names = dict(zip(_URL_OF, roles.default_roles(str(url.database)).names(), strict=True))
    return Database(make_engine(_with_login(url, names[part], passwords[part])), keyring.load_keyring(keys_dir))


@dataclass(frozen=True, slots=True)
class _Logins:
    roles: Roles
    environment: Mapping[str, str] = field(repr=False)


def _is_new(migrator_url: str) -> bool:
    """Say whether no key was ever used with this database."""
    owner = create_engine(migrator_url, hide_parameters=True)
    try:
        with owner.connect() as connection:
            if not inspect(connection).has_table(KeyFingerprint.__tablename__):
                return True
            return connection.execute(select(KeyFingerprint.name).limit(1)).first() is None
    finally:
        owner.dispose()


def _keys(keys_dir: Path, *, is_new: bool) -> Keyring:
    has_keys = keys_dir.is_dir() and any(keys_dir.glob("*.key"))
    if is_new and not has_keys:
        return keyring.create_keyring(keys_dir)
    return keyring.load_keyring(keys_dir)


def _logins(migrator_url: str, keys_dir: Path) -> _Logins:
    """Return the roles and their URLs: those that were given, or our own, created where they are missing."""
    given = {part: os.environ[variable] for part, variable in _URL_OF.items() if variable in os.environ}
    if given:
        missing = sorted(variable for part, variable in _URL_OF.items() if part not in given)
        if missing:
            raise ServiceStartError(f"where one login is given all must be; missing: {', '.join(missing)}")
        names = {part: str(make_url(url).username) for part, url in given.items()}
        return _Logins(Roles(**names), {_URL_OF[part]: url for part, url in given.items()})
    url = make_url(migrator_url)
    own = roles.default_roles(str(url.database))
    passwords = _passwords(keys_dir)
    owner = create_engine(migrator_url, hide_parameters=True)
    try:
        with owner.begin() as connection:
            roles.create_missing(connection, own)
            roles.set_logins(connection, _verifiers(connection, own, passwords))
    finally:
        owner.dispose()
    pairs = zip(_URL_OF.items(), own.names(), strict=True)
    return _Logins(own, {variable: _with_login(url, name, passwords[part]) for (part, variable), name in pairs})


def _demand_ours(migrator_url: str, keys: Keyring, *, demo: bool) -> None:
    """Refuse another service's database before anything of it is changed, its passwords included."""
    owner = create_engine(migrator_url, hide_parameters=True)
    try:
        with owner.begin() as connection:
            _mark(connection, demo=demo)
            _remember(connection, keys)
    finally:
        owner.dispose()


def _passwords(keys_dir: Path) -> dict[str, str]:
    path = keys_dir / LOGINS
    try:
        stored: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        stored = {}
    # A newer version of the service may know a login that this folder has no password for yet.
    complete = {part: secrets.token_urlsafe(32) for part in _URL_OF} | stored
    if complete != stored:
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(complete) + "\n", encoding="utf-8")
        fresh.replace(path)
    return complete


def _verifiers(connection: Connection, own: Roles, passwords: Mapping[str, str]) -> dict[str, str]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the only driver of this service
    return {
        name: raw.pgconn.encrypt_password(passwords[part].encode(), name.encode(), b"scram-sha-256").decode()
        for part, name in zip(_URL_OF, own.names(), strict=True)
    }


def _with_login(url: URL, name: str, password: str) -> str:
    return url.set(username=name, password=password).render_as_string(hide_password=False)


def _mark(connection: Connection, *, demo: bool) -> None:
    kind = "demo" if demo else "live"
    stored = connection.scalar(select(Installation.kind))
    if stored is None:
        connection.execute(insert(Installation).values(kind=kind, created_at=clock.machine_time()))
    elif stored != kind:
        wanted = "with" if stored == "demo" else "without"
        raise ServiceStartError(f"this database was made for a {stored} service: start it {wanted} --demo")


def _remember(connection: Connection, keys: Keyring) -> None:
    """Keep the fingerprints of the first start; raise where this is another folder."""
    rows = connection.execute(select(KeyFingerprint.__table__))
    stored = {row.name: row.fingerprint for row in rows if not keyring.is_of_log(row.name)}
    held = keyring.fingerprints(keys)
    if not stored:
        connection.execute(insert(KeyFingerprint), _fingerprint_rows(held))
    elif stored != held:
        wrong = sorted(name for name in stored.keys() | held.keys() if stored.get(name) != held.get(name))
        raise KeyFolderError(f"the key folder is not the one of this database; it differs in {', '.join(wrong)}")


def _remember_log_key(connection: Connection, folder: Path) -> None:
    """Make the key that signs the audit log for a database that never had one, and keep its fingerprint.

    It is not looked at again here: where it is missing or wrong, nothing is signed, and consent traffic goes on.
    """
    names = connection.scalars(select(KeyFingerprint.name))
    if any(keyring.is_of_log(name) for name in names):
        return
    has_key = folder.is_dir() and any(folder.glob("*.key"))
    make = keyring.load_keyring if has_key else keyring.create_keyring
    held = keyring.fingerprints(make(folder, names=keyring.LOG_NAMES))
    connection.execute(insert(KeyFingerprint), _fingerprint_rows(held))


def _fingerprint_rows(held: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "fingerprint": value} for name, value in held.items()]


def _ensure_platform_keys(app_url: str, keys: Keyring) -> None:
    """Make the keys under which the platform's own log is sealed, as every controller has them."""
    engine = make_engine(app_url)
    try:
        with Database(engine, keys).transaction(logs.PLATFORM) as session:
            vault_keys.ensure_for_controller(session, at=clock.machine_time())
    finally:
        engine.dispose()


def _seed(app_url: str, keys: Keyring, *, data_dir: Path, public_url: str) -> None:
    engine = make_engine(app_url)
    try:
        demo_world.seed(Database(engine, keys), data_dir=data_dir, public_url=public_url, at=clock.now())
    finally:
        engine.dispose()
