"""Joins the parts: the only place that knows them all."""

import contextlib
from pathlib import Path
from typing import Final

from flask import Flask, Response
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from werkzeug.middleware.proxy_fix import ProxyFix

from consent_service import web
from consent_service.api import blueprints, checks, consents, health, reference, subjects, withdrawals
from consent_service.config import Settings
from consent_service.crypto import keyring
from consent_service.db import session as db_session
from consent_service.db.base import Base
from consent_service.db.migrate import MIGRATIONS
from consent_service.db.session import Database
from consent_service.pages import confirmation, embedding, signup
from consent_service.pages import errors as page_errors
from consent_service.web import access, errors, headers, logs, request_ids, request_log, throttling
from consent_service.web.json_answers import OrjsonProvider
from consent_service.web.key_guard import KeyGuard
from consent_service.web.metrics import Metrics

#: No body of ours comes near it; a longer one is refused before it is read.
LARGEST_BODY_BYTES: Final = 256 * 1024

_API: Final = (checks.blueprint, consents.blueprint, withdrawals.blueprint, subjects.blueprint)
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
    service = web.Service(database=Database(_connect(app), keys), settings=settings)
    app.extensions[web.EXTENSION] = service
    _watch_requests(app)
    _guard_keys(app, service.database)
    _register_doors(app, settings)
    access.demand_callers(app)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)  # type: ignore[method-assign]
    return app


def _connect(app: Flask) -> Engine:
    models = SQLAlchemy(model_class=Base)
    models.init_app(app)
    Migrate(app, models, directory=str(MIGRATIONS))
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

    @app.after_request
    def finish(answer: Response) -> Response:
        return request_log.finish(headers.protect(answer), metrics=metrics)


def _register_doors(app: Flask, settings: Settings) -> None:
    # Flask made this route itself, so it cannot carry a decorator.
    access.caller(access.PUBLIC)(app.view_functions["static"])
    for door in (health.blueprint, reference.blueprint):
        app.register_blueprint(door)
    for page in (signup, embedding, confirmation):
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
    app.before_request(guard.refuse_unverified)
