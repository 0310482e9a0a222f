"""Manners that the web doors share: who may call, how errors look, headers, limits, and what is logged."""

from dataclasses import dataclass
from typing import Final, cast

from flask import current_app

from consent_service.config import Settings
from consent_service.db.session import Database

EXTENSION: Final = "consent_service"


@dataclass(frozen=True, slots=True)
class Service:
    """What every door works with: the database with its keys, and the settings of this process."""

    database: Database
    settings: Settings


def service() -> Service:
    """Get the parts that the composition root joined for the application of this request."""
    return cast("Service", current_app.extensions[EXTENSION])
