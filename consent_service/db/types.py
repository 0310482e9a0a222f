"""Column types and the common columns of rows that belong to a controller."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import DateTime, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

from consent_service import identifiers


class Identifier(TypeDecorator[str]):
    """A public identifier (`sub_…`) in Python, sixteen bytes of uuid in the database."""

    impl = Uuid
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        """Bind the type to the one prefix that its column may hold."""
        super().__init__(as_uuid=True)
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Dialect) -> uuid.UUID | None:
        """Turn the public text into a uuid; raises IdentifierInvalidError for another prefix."""
        del dialect
        return None if value is None else identifiers.to_uuid(value, self.prefix)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ANN401 - the driver's type
        """Turn the stored uuid into the public text."""
        del dialect
        return None if value is None else identifiers.from_uuid(value, self.prefix)


Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Sealed = Annotated[bytes, mapped_column(LargeBinary)]
Keyed = Annotated[bytes, mapped_column(LargeBinary)]
Words = Annotated[list[str], mapped_column(ARRAY(Text))]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
ControllerId = Annotated[str, mapped_column(Identifier("ctl"), primary_key=True)]
