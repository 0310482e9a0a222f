"""The declarative base of every model, and the naming of its constraints.

Free of Flask: Flask-SQLAlchemy is given this base by the composition root.
"""

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What all models inherit: one catalogue of tables with predictable constraint names."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
