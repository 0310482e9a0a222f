"""Joins the parts: the only place that knows them all."""

import contextlib
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Final

import flask_mail
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.middleware.proxy_fix import ProxyFix

from consent_service import clock, web
from consent_service.api import (
    asking,
    audit_entries,
    audit_log,
    blueprints,
    checks,
    consents,
    customer_relations,
    decision_keys,
    decisions,
    dev,
    exports,
    forms,
    health,
    links,
    many_checks,
    notice_deliveries,
    papers,
    purposes,
    recipient_kinds,
    recipients,
    records,
    reference,
    revocations,
    subjects,
    withdrawals,
)
from consent_service.config import Settings
from consent_service.consent import messages
from consent_service.consent.spool import Spool
from consent_service.crypto import keyring
from consent_service.db import session as db_session
from consent_service.db.base import Base
from consent_service.db.session import Database
from consent_service.delivery.mail import MailTransport, OutgoingMail
from consent_service.delivery.messages import MessageHandler
from consent_service.delivery.sms import NoGateway, SmsTransport
from consent_service.delivery.sms_gateway import HttpGateway, SmsFolder
from consent_service.errors import MailRefusedError, MailUnavailableError, RecipientRefusedError
from consent_service.exports.making import Maker
from consent_service.oversight import checkpoint_mails
from consent_service.pages import confirmation, embedding, preferences, receipts, signup, sms_code, unsubscribe
from consent_service.pages import errors as page_errors
from consent_service.rights import audit_export, evidence_bundle
from consent_service.web import (
    access,
    addresses,
    errors,
    headers,
    key_guard,
    logs,
    request_ids,
    request_log,
    throttling,
)
from consent_service.web.json_answers import OrjsonProvider
from consent_service.web.key_guard import KeyGuard
from consent_service.web.metrics import Metrics

#: No body of ours comes near it; a longer one is refused before it is read.
LARGEST_BODY_BYTES: Final = 256 * 1024

_API: Final = (
    checks.blueprint,
    many_checks.blueprint,
    consents.blueprint,
    customer_relations.blueprint,
    notice_deliveries.blueprint,
    withdrawals.blueprint,
    subjects.blueprint,
    recipient_kinds.blueprint,
    links.blueprint,
    records.blueprint,
    papers.blueprint,
    decisions.blueprint,
    audit_entries.blueprint,
    decision_keys.blueprint,
    audit_log.blueprint,
    purposes.blueprint,
    forms.blueprint,
    recipients.blueprint,
    revocations.blueprint,
    exports.blueprint,
)
#: How long the mail server may take over one step, in seconds. Flask-Mail itself would wait for ever.
SMTP_TIMEOUT_SECONDS: Final = 10.0

_PERMANENT: Final = 500
# Enhanced status codes (RFC 3463) whose subject is our server, the route or a policy, and not the mailbox.
_NOT_THE_MAILBOX: Final = (b"5.3.", b"5.4.", b"5.5.", b"5.6.", b"5.7.")

_ROOT: Final = Path(__file__).resolve().parents[1]


def create_app(settings: Settings) -> Flask:
    """Build the application, without serving it.

    Raises KeyFolderError where the key folder is missing, damaged or not the one of this database: nothing is sealed
    under a wrong key. A database that does not answer yet does not stop the start; readiness tells.
    """
    logs.configure()
    keys = keyring.load_keyring(settings.keys_dir)
    app = Flask("consent_service", static_folder=str(_ROOT / "static"), template_folder=str(_ROOT / "templates"))
    app.config.update(
        MAX_CONTENT_LENGTH=LARGEST_BODY_BYTES,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=db_session.engine_options(),
    )
    app.json = OrjsonProvider(app)
    database = Database(_connect(app), keys)
    app.extensions[web.EXTENSION] = web.Service(database=database, settings=settings)
    app.extensions[asking.EXTENSION] = asking.Asking(
        database, spool=Spool(settings.spool_dir), issuer=settings.public_url
    )
    try:
        _watch_requests(app)
        _guard_keys(app, database)
        _register_doors(app, settings)
        access.demand_callers(app)
    except BaseException:
        # Nothing stays connected to a database that this process will not serve.
        database.engine.dispose()
        raise
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign]
    return app


def message_handlers(settings: Settings) -> dict[str, MessageHandler]:
    """Return who prepares which kind of message of the outbox."""
    return {
        **messages.handlers(public_url=settings.public_url),
        checkpoint_mails.MESSAGE: checkpoint_mails.CheckpointMail(settings.public_url),
    }


def export_makers(settings: Settings) -> dict[str, Maker]:
    """Return who makes which kind of file."""
    bundles = partial(evidence_bundle.make, public_url=settings.public_url)
    return {audit_export.KIND: audit_export.maker({evidence_bundle.FORMAT: bundles})}


def mail_transport(settings: Settings) -> MailTransport:
    """Return the way to the mail server, for a process that serves nothing."""
    return FlaskMailTransport(Flask("consent_service"), settings)


def sms_transport(settings: Settings) -> SmsTransport:
    """Return the way for an SMS: a folder in a demo, else the gateway that is named, else one that lets it wait."""
    if settings.demo:
        return SmsFolder(settings.data_dir / "sms", sender=settings.sms_sender)
    if settings.sms_gateway_url is None:
        return NoGateway()
    return HttpGateway(settings.sms_gateway_url, token=settings.sms_gateway_token, sender=settings.sms_sender)


def _connect(app: Flask) -> Engine:
    models = SQLAlchemy(model_class=Base)
    models.init_app(app)
    with app.app_context():
        return models.engine


def _watch_requests(app: Flask) -> None:
    metrics = Metrics()
    app.extensions[health.METRICS_EXTENSION] = metrics
    throttling.install(app)
    errors.register(app, render_page=page_errors.render_page)

    @app.before_request
    def begin() -> None:
        request_ids.begin()
        request_log.begin()
        addresses.refuse_unreadable()

    app.teardown_request(request_ids.end)

    @app.after_request
    def finish(answer: Response) -> Response:
        return request_log.finish(headers.protect(answer), metrics=metrics)


def _register_doors(app: Flask, settings: Settings) -> None:
    # Flask made this route itself, so it cannot carry a decorator.
    access.caller(access.PUBLIC)(app.view_functions["static"])
    for door in (health.blueprint, reference.blueprint, *([dev.blueprint] if settings.demo else [])):
        app.register_blueprint(door)
    for page in (signup, embedding, sms_code, confirmation, preferences, receipts, unsubscribe):
        app.register_blueprint(page.blueprint)
    api = blueprints.make_api(app, public_url=settings.public_url)
    for chapter in _API:
        api.register_blueprint(chapter)
    app.extensions[reference.EXTENSION] = reference.document(api)


def _guard_keys(app: Flask, database: Database) -> None:
    guard = KeyGuard(database)
    # Without a database there is nothing to compare with yet; the guard asks again at the first request.
    with contextlib.suppress(OperationalError):
        guard.verify()
    key_guard.install(app, guard)


class FlaskMailTransport:
    """The mail transport of the service; needs no request and no other application context."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        app.config.update(
            MAIL_SERVER=settings.mail_server,
            MAIL_PORT=settings.mail_port,
            MAIL_USERNAME=settings.mail_username,
            MAIL_PASSWORD=settings.mail_password,
            MAIL_USE_TLS=settings.mail_use_tls,
            MAIL_USE_SSL=settings.mail_use_ssl,
            MAIL_DEFAULT_SENDER=settings.mail_sender,
            # Its default follows app.testing and would make every test of a mail pass without a mail.
            MAIL_SUPPRESS_SEND=False,
        )
        self._app = app
        self._mail = flask_mail.Mail(app)
        self._sender = settings.mail_sender

    def send(self, mail: OutgoingMail) -> None:
        """Send one mail over a connection of its own; see MailTransport for what it raises.

        No error keeps its cause: smtplib's repeat the address and what the server said about it.
        """
        with self._app.app_context():
            message = _Message(mail, sender=self._sender)
            try:
                with _Connection(self._mail) as connection:
                    connection.send(message)
            except smtplib.SMTPRecipientsRefused as error:
                raise _refusal_of_recipient(error) from None
            except _NotSupportedForAddressError:
                raise MailRefusedError("the mail server takes no addresses beyond ASCII") from None
            except smtplib.SMTPDataError as error:
                if error.smtp_code >= _PERMANENT:
                    raise MailRefusedError(f"the mail server refused the mail with {error.smtp_code}") from None
                raise MailUnavailableError(f"the mail server put the mail off with {error.smtp_code}") from None
            except (smtplib.SMTPException, OSError) as error:
                # A login or a sender that is refused is ours to mend, and the mail waits for it.
                raise MailUnavailableError(f"the mail server cannot be used: {type(error).__name__}") from None


class _Message(flask_mail.Message):
    """Flask-Mail's message in the words of the standard library's own, which knows names, languages and long lines."""

    def __init__(self, mail: OutgoingMail, *, sender: str) -> None:
        local_part, _, _ = mail.to.rpartition("@")
        is_ascii = local_part.isascii()
        super().__init__(
            subject=mail.subject,
            recipients=[mail.to],
            body=mail.text,
            html=mail.html,
            sender=sender,
            extra_headers=dict(mail.headers),
            mail_options=[] if is_ascii else ["SMTPUTF8", "BODY=8BITMIME"],
        )
        self.msgId = mail.message_id
        self._sender_name = mail.sender_name
        self._files = mail.attachments
        self._policy: Policy[EmailMessage] = SMTP if is_ascii else SMTPUTF8

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire."""
        message = EmailMessage(policy=self._policy)
        message["From"] = Address(self._sender_name, addr_spec=str(self.sender))
        message["To"] = str(self.recipients[0])
        message["Subject"] = self.subject
        message["Date"] = format_datetime(clock.now())
        message["Message-ID"] = self.msgId
        for name, value in (self.extra_headers or {}).items():
            message[name] = value
        # The default would be eight bits, which a server may still not take (RFC 6152).
        message.set_content(self.body or "", cte="quoted-printable")
        message.add_alternative(self.html or "", subtype="html", cte="quoted-printable")
        for file in self._files:
            # Bytes go as base64: a signature is over the line ends too.
            message.add_attachment(
                file.content, maintype="text", subtype="plain", filename=file.name, params={"charset": "utf-8"}
            )
        return message.as_bytes()


class _NotSupportedForAddressError(Exception):
    """The server does not speak SMTPUTF8 (RFC 6531), which the address needs."""


class _Connection(flask_mail.Connection):
    """Flask-Mail's connection with a time limit, a checked certificate, and the address sent as it is."""

    def configure_host(self) -> smtplib.SMTP | smtplib.SMTP_SSL:
        """Connect, and log in where there is a login."""
        state = self.mail
        host: smtplib.SMTP | smtplib.SMTP_SSL
        if state.use_ssl:
            context = ssl.create_default_context()
            host = smtplib.SMTP_SSL(state.server, state.port, timeout=SMTP_TIMEOUT_SECONDS, context=context)
        else:
            host = smtplib.SMTP(state.server, state.port, timeout=SMTP_TIMEOUT_SECONDS)
        try:
            if state.use_tls:
                host.starttls(context=ssl.create_default_context())
            if state.username and state.password:
                host.login(state.username, state.password)
        except BaseException:
            host.close()
            raise
        return host

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Send the message; Flask-Mail's own way breaks addresses that are not ASCII before the @."""
        assert self.host is not None  # noqa: S101 - set on entering, for sending is never suppressed
        del envelope_from
        try:
            self.host.sendmail(
                str(message.sender), [str(message.recipients[0])], message.as_bytes(), message.mail_options
            )
        except smtplib.SMTPNotSupportedError:
            raise _NotSupportedForAddressError from None

    def __exit__(self, *error: object) -> None:
        """Hang up. A server that hangs up first has taken the mail all the same, or its refusal is on its way up."""
        if self.host is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self.host.quit()
            self.host.close()


def _refusal_of_recipient(error: smtplib.SMTPRecipientsRefused) -> MailRefusedError | MailUnavailableError:
    [(code, answer)] = error.recipients.values()
    if code < _PERMANENT:
        return MailUnavailableError(f"the mail server put the recipient off with {code}")
    if answer.startswith(_NOT_THE_MAILBOX):
        return MailRefusedError(f"the mail server refused to pass the mail on with {code}")
    return RecipientRefusedError(f"the mail server refused the recipient with {code}")
