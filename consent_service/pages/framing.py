"""Puts a page into its frame: whose it is, in which language, and with the headers of a page about a person."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from flask import Response, g, request

from consent_service.language import catalogues, rendering
from consent_service.registry.controllers import Controller
from consent_service.web import headers

_FRAME: Final = "pages_frame"


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows around its content; `languages` are code and address of the same page in others.

    `ancestors` are the origins that may show the page in a frame of theirs.
    """

    controller: Controller | None
    language: str
    languages: tuple[tuple[str, str], ...] = ()
    ancestors: tuple[str, ...] = ()

    @property
    def choices_url(self) -> str | None:
        """Return where the preference centre is asked for, in the language of this page."""
        return None if self.controller is None else choices_path(self.controller, self.language)


def choices_path(controller: Controller, language: str) -> str:
    """Return the path at which a controller's preference centre is asked for."""
    return f"/p?controller={controller.key}&lang={language}"


def remember(frame: Frame) -> Frame:
    """Keep the frame for a page of error that may follow in this request, and return it."""
    setattr(g, _FRAME, frame)
    return frame


def remembered() -> Frame:
    """Return the frame of this request, or one that says no more than a language."""
    found = g.get(_FRAME)
    if isinstance(found, Frame):
        return found
    # The body is left alone: that it cannot be read may be what went wrong.
    return Frame(controller=None, language=_choose(request.args.get("lang"), catalogues.offered()))


def wished_language(offered: Iterable[str] | None = None) -> str:
    """Return the language of this request: what it names, else what its reader accepts, else the first offered."""
    spoken = tuple(offered) if offered is not None else catalogues.offered()
    return _choose(request.form.get("lang") or request.args.get("lang"), spoken)


def in_all_languages(controller: Controller, address: Callable[[str], str]) -> Frame:
    """Return the frame of a page that can be read in every language of the service, at the address of each."""
    languages = tuple((code, address(code)) for code in catalogues.offered())
    return remember(Frame(controller=controller, language=wished_language(), languages=languages))


def show(template: str, frame: Frame, *, status: int = 200, **context: object) -> Response:
    """Return a page of templates/pages/ in its frame."""
    timezone = rendering.ZONE if frame.controller is None else frame.controller.timezone
    page = rendering.render(
        f"pages/{template}",
        language=frame.language,
        timezone=timezone,
        controller=frame.controller,
        languages=frame.languages,
        choices_url=frame.choices_url,
        **context,
    )
    answer = Response(page, status=status, mimetype="text/html")
    answer.headers["Content-Language"] = frame.language
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex"
    answer.headers["Content-Security-Policy"] = headers.content_security_policy(frame_ancestors=frame.ancestors)
    answer.vary.add("Accept-Language")
    return answer


def _choose(named: str | None, offered: tuple[str, ...]) -> str:
    return named if named in offered else catalogues.negotiate(request.headers.get("Accept-Language"), offered)
