"""What the terminal shows once the service answers: where to go with a browser, and where things lie."""

import json

from consent_service.cli.data_folder import DataFolder


def describe(folder: DataFolder, *, public_url: str) -> str:
    """Return the addresses of the running service, and in a demo those of its forms and mails."""
    base = public_url.rstrip("/")
    rows = [("Console", f"{base}/console/"), ("API reference", f"{base}/docs")]
    if folder.is_demo:
        rows = [*_forms(folder, base), *rows, ("Mails and SMS", f"{base}/dev/mailbox")]
        rows.append(("For programs", str(folder.path / "demo.json")))
    rows += [("Data", str(folder.path)), ("Logs", str(folder.log))]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {place}" for label, place in rows]
    return "\n".join(["The service is ready.", *lines, "Ctrl-C stops all of it."])


def _forms(folder: DataFolder, base: str) -> list[tuple[str, str]]:
    """Return one row for each form that the demo world wrote down."""
    world = json.loads((folder.path / "demo.json").read_text(encoding="utf-8"))
    return [
        (f"Form {key} of {controller['key']}", f"{base}/f/{form_id}")
        for controller in world["controllers"]
        for key, form_id in controller["forms"].items()
    ]
