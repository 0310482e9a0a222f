"""Answers for who may call a route: every view says so, also where the answer is everybody.

A caller is `public`, `link` (a signed link is the only credential), `demo` (a demo folder on loopback), or
`scope:<scope>` (an API key that has this scope).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from flask import Flask

PUBLIC: Final = "public"
LINK: Final = "link"
DEMO: Final = "demo"
SCOPE_PREFIX: Final = "scope:"

_MARK: Final = "consent_service_caller"

View = TypeVar("View", bound=Callable[..., Any])


class CallerMissingError(RuntimeError):
    """A route does not say who may call it, so the service does not start."""


def caller(who: str) -> Callable[[View], View]:
    """Mark a view with its caller; raises ValueError for a word that names none."""
    if who not in {PUBLIC, LINK, DEMO} and not who.startswith(SCOPE_PREFIX):
        raise ValueError(f"{who!r} names no caller")

    def mark(view: View) -> View:
        view.__dict__[_MARK] = who
        return view

    return mark


def find_caller(view: Callable[..., Any]) -> str | None:
    """Read the caller of a view, or None where it names none; wrappers made with functools.wraps pass it on."""
    found = getattr(view, _MARK, None)
    return found if isinstance(found, str) else None


def list_callers(app: Flask) -> Iterator[tuple[str, str, str | None]]:
    """List method, rule and caller of the whole URL map; HEAD and OPTIONS follow their route."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule, find_caller(app.view_functions[rule.endpoint])


def demand_callers(app: Flask) -> None:
    """Raise CallerMissingError where a route names no caller: an open door is never an oversight."""
    silent = [f"{method} {rule}" for method, rule, who in list_callers(app) if who is None]
    if silent:
        raise CallerMissingError(", ".join(silent))
