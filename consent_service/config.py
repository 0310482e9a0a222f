"""Settings of one process, read once from the environment; it refuses to start when they are wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from environs import Env, EnvError

from consent_service.errors import SettingsError

DEFAULT_SIGNUPS_PER_IP_PER_HOUR = 10
#: A whole workplace may stand behind one address; what protects a mailbox are the caps per address.
DEFAULT_PREFERENCE_LINKS_PER_IP_PER_HOUR = 300
DEFAULT_DECISION_LOG_MONTHS = 24
#: A sender of letters has at most 11 of them (GSM 03.38).
DEFAULT_SMS_SENDER = "Samtykke"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process must know before it starts. A controller's own settings are rows, not environment."""

    database_url: str = field(repr=False)
    keys_dir: Path
    data_dir: Path
    public_url: str
    demo: bool
    mail_server: str
    mail_port: int
    mail_username: str | None
    mail_password: str | None = field(repr=False)
    mail_use_tls: bool
    mail_use_ssl: bool
    mail_sender: str
    trusted_proxies: int
    signups_per_ip_per_hour: int
    preference_links_per_ip_per_hour: int = DEFAULT_PREFERENCE_LINKS_PER_IP_PER_HOUR
    sms_gateway_url: str | None = None
    sms_gateway_token: str | None = field(default=None, repr=False)
    sms_sender: str = DEFAULT_SMS_SENDER
    decision_log_months: int = DEFAULT_DECISION_LOG_MONTHS
    retention_url: str | None = field(default=None, repr=False)

    @property
    def is_https(self) -> bool:
        """Say whether people reach the service over https: `Secure`, `__Host-` and HSTS go with it."""
        return self.public_url.startswith("https://")

    @property
    def spool_dir(self) -> Path:
        """Where decisions wait, on this machine, until the worker has moved them into the decision log."""
        return self.data_dir / "spool"

    @classmethod
    def from_environ(cls, *, database_variable: str = "DATABASE_URL_APP") -> Self:
        """Read the settings; raises SettingsError that names the variable and never its value.

        `database_variable` names the login of this process: web and worker have roles of their own.
        """
        env = Env()
        try:
            return cls(
                database_url=env.str(database_variable),
                keys_dir=env.path("CONSENT_KEYS"),
                data_dir=env.path("CONSENT_DATA"),
                public_url=_public_url(env.str("PUBLIC_URL")),
                demo=env.bool("CONSENT_DEMO", default=False),
                mail_server=env.str("MAIL_SERVER", default="127.0.0.1"),
                mail_port=env.int("MAIL_PORT", default=25),
                mail_username=env.str("MAIL_USERNAME", default="") or None,
                mail_password=env.str("MAIL_PASSWORD", default="") or None,
                mail_use_tls=env.bool("MAIL_USE_TLS", default=False),
                mail_use_ssl=env.bool("MAIL_USE_SSL", default=False),
                mail_sender=env.str("MAIL_SENDER"),
                trusted_proxies=env.int("TRUSTED_PROXIES", default=0),
                signups_per_ip_per_hour=env.int("SIGNUPS_PER_IP_PER_HOUR", default=DEFAULT_SIGNUPS_PER_IP_PER_HOUR),
                preference_links_per_ip_per_hour=env.int(
                    "PREFERENCE_LINKS_PER_IP_PER_HOUR", default=DEFAULT_PREFERENCE_LINKS_PER_IP_PER_HOUR
                ),
                sms_gateway_url=_gateway_url(env.str("SMS_GATEWAY_URL", default="")),
                sms_gateway_token=env.str("SMS_GATEWAY_TOKEN", default="") or None,
                sms_sender=env.str("SMS_SENDER", default="") or DEFAULT_SMS_SENDER,
                decision_log_months=decision_log_months(),
                retention_url=env.str("DATABASE_URL_RETENTION", default="") or None,
            )
        except EnvError as error:
            raise SettingsError(str(error)) from None


@dataclass(frozen=True, slots=True)
class LogKeeperSettings:
    """What the process must know that keeps the audit log; it has no key that opens anything."""

    database_url: str = field(repr=False)
    log_keys_dir: Path
    log_copy_dir: Path
    host: str
    policy_file: Path | None = None

    @classmethod
    def from_environ(cls) -> Self:
        """Read the settings; raises SettingsError that names the variable and never its value."""
        env = Env()
        try:
            return cls(
                database_url=env.str("DATABASE_URL_SEQUENCER"),
                log_keys_dir=env.path("CONSENT_LOG_KEYS"),
                log_copy_dir=env.path("CONSENT_LOG_COPY"),
                host=urlsplit(_public_url(env.str("PUBLIC_URL"))).netloc,
                policy_file=env.path("LOG_POLICY", default=None),
            )
        except EnvError as error:
            raise SettingsError(str(error)) from None


def public_url() -> str:
    """Read where the service is found, for a command beside it; raises SettingsError."""
    return _public_url(Env().str("PUBLIC_URL", default="http://127.0.0.1:8000"))


def decision_log_months() -> int:
    """Read for how many months decisions are kept; raises SettingsError for less than one."""
    try:
        months = Env().int("DECISION_LOG_MONTHS", default=DEFAULT_DECISION_LOG_MONTHS)
    except EnvError as error:
        raise SettingsError(str(error)) from None
    if months < 1:
        raise SettingsError("DECISION_LOG_MONTHS is less than one month")
    return months


def _public_url(text: str) -> str:
    """Return the base of every link without a trailing slash; raises SettingsError when it is not an http(s) URL.

    Its host begins the name of every log and of the key that signs it, for ever and for everybody to read.
    """
    parts = urlsplit(text)
    if any(char in "@+" or char.isspace() for char in parts.netloc):
        raise SettingsError("PUBLIC_URL names a host and a port, and no login")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError("PUBLIC_URL is not an http or https address")
    return text.rstrip("/")


def _gateway_url(text: str) -> str | None:
    """Return where an SMS is posted, None where nowhere; raises SettingsError for what would carry numbers in clear."""
    if not text:
        return None
    parts = urlsplit(text)
    is_local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or parts.username or not (parts.scheme == "https" or is_local):
        raise SettingsError("SMS_GATEWAY_URL is not an https address; http is for this machine only")
    return text
