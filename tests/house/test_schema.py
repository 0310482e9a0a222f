"""The models say what the migrations made, and the migrations are one numbered line."""

import importlib
import pkgutil
import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

import consent_service
from consent_service.db import migrate
from consent_service.db.base import Base

VERSIONS = migrate.MIGRATIONS / "versions"
# Beside tables, the migrations are those of these schemas alone.
SCHEMAS = {None, "public", "vault", "audit"}


def _load_every_model() -> None:
    for module in pkgutil.iter_modules([str(Path(consent_service.__file__).parent)]):
        path = Path(consent_service.__file__).parent / module.name / "models.py"
        if path.exists():
            importlib.import_module(f"consent_service.{module.name}.models")


class TestModels:
    def test_equal_the_migrations(self, owner_url: str) -> None:
        _load_every_model()
        engine = create_engine(owner_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "include_schemas": True,
                    "compare_type": True,
                    "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
                },
            )
            differences = compare_metadata(context, Base.metadata)
        engine.dispose()

        assert differences == []

    def test_speak_of_every_table(self, owner_url: str) -> None:
        _load_every_model()
        engine = create_engine(owner_url)
        with engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT CASE schemaname WHEN 'public' THEN tablename ELSE schemaname || '.' || tablename END"
                " FROM pg_tables WHERE schemaname IN ('public', 'vault', 'audit') AND tablename <> 'alembic_version'"
            ).scalars()
            tables = set(names)
        engine.dispose()

        assert set(Base.metadata.tables) == tables


class TestMigrations:
    def test_are_numbered_without_a_gap(self) -> None:
        numbers = sorted(path.name[:4] for path in VERSIONS.glob("*.py"))

        assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
        assert migrate.head() == numbers[-1]

    def test_never_wait_long_for_a_lock(self) -> None:
        patient = [
            path.name
            for path in VERSIONS.glob("*.py")
            if not re.search(
                r"def upgrade\(\) -> None:\n    op\.execute\(\"SET LOCAL lock_timeout", path.read_text("utf-8")
            )
        ]

        assert patient == []
