"""Where a yes came from: the form, the API key that reported it, the import that brought it."""

import re
from dataclasses import dataclass
from typing import Final

from consent_service.audit.trail import Actor

#: A word for one import, such as `crm-2026-03`.
IMPORT_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a yes came from, as far as that is known; what a recall looks for.

    `api_key_id` is the key whose report it rests on, also where the person confirmed it later; `import_label` is what
    that system calls the import.
    """

    form_id: str | None = None
    form_version: int | None = None
    api_key_id: str | None = None
    import_label: str | None = None


#: Of a person's own visit to the preference centre.
NO_SOURCE: Final = Source()


def key_of(actor: Actor) -> str | None:
    """Return the API key that acts, or None where somebody else does."""
    return actor.id if actor.kind == "api_key" else None
