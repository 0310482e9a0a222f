"""Says which controller a request is for, before anything of that controller can be read."""

from consent_service import identifiers, web
from consent_service.errors import ControllerUnknownError, FormUnknownError, IdentifierInvalidError
from consent_service.registry import controllers


def form(form_key: str) -> tuple[str, str]:
    """Return the controller's id and the canonical form id of a form's address; raises FormUnknownError."""
    try:
        form_id = identifiers.from_uuid(identifiers.to_uuid(form_key, "frm"), "frm")
    except IdentifierInvalidError:
        raise FormUnknownError from None
    with web.service().database.platform_transaction() as session:
        controller_id = controllers.find_id(session, tag=identifiers.form_controller_tag(form_id))
    if controller_id is None:
        raise FormUnknownError
    return controller_id, form_id


def named(key: str | None) -> str:
    """Return the id of the controller with this key, or of the only one there is.

    Raises ControllerUnknownError for an unknown key, and where none is named and there are several.
    """
    with web.service().database.platform_transaction() as session:
        directory = controllers.list_directory(session)
    found = [row.controller_id for row in directory if key in (None, "", row.key)]
    if len(found) != 1:
        raise ControllerUnknownError
    return found[0]
