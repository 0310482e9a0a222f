"""How a page or a mail is put together from its template in one language."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import css_inline
from babel.dates import format_date, format_time, get_timezone
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from markupsafe import Markup, escape

from consent_service.language import catalogues

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
ZONE = "Europe/Oslo"


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail as it is sent: the same words as plain text and as HTML."""

    subject: str
    text: str
    html: str


def render(template: str, *, language: str, timezone: str = ZONE, **context: object) -> str:
    """Return a template of templates/ in an offered language, times shown in the zone.

    A variable that the template asks for and the caller forgot raises UndefinedError, a sentence
    without translation TranslationMissingError: nothing is shown that was not meant.
    """
    catalogues.catalogue(language)
    return _ENVIRONMENT.get_template(template).render(**context, language=language, timezone=timezone)


def render_mail(message: str, *, language: str, timezone: str = ZONE, **context: object) -> RenderedMail:
    """Return the mail of templates/mail/<message>/ with its styles written into the elements."""

    def part(name: str) -> str:
        return render(f"mail/{message}/{name}", language=language, timezone=timezone, **context)

    return RenderedMail(
        # A line break in a subject would end the header and begin another one.
        subject=" ".join(part("subject.txt").split()),
        text=part("body.txt").strip() + "\n",
        html=_INLINER.inline(part("body.html")),
    )


@pass_context
def _gettext(context: Context, message: str) -> str:
    return catalogues.catalogue(context["language"]).gettext(message)


@pass_context
def _ngettext(context: Context, singular: str, plural: str, n: int) -> str:
    return catalogues.catalogue(context["language"]).ngettext(singular, plural, n)


@pass_context
def _local_date(context: Context, at: datetime) -> str:
    return format_date(_local(context, at), "long", locale=_locale(context))


@pass_context
def _local_time(context: Context, at: datetime) -> str:
    zone = get_timezone(context["timezone"])
    return format_time(at, "short", tzinfo=zone, locale=_locale(context))


@pass_context
def _local_datetime(context: Context, at: datetime) -> str:
    gettext = catalogues.catalogue(context["language"]).gettext
    pattern = gettext("%(date)s at %(time)s")
    return pattern % {"date": _local_date(context, at), "time": _local_time(context, at)}


@pass_context
def _local_short(context: Context, at: datetime) -> str:
    date = format_date(_local(context, at), "short", locale=_locale(context))
    return f"{date} {_local_time(context, at)}"


def _strong(text: str, name: str) -> Markup:
    """Return the text with a name in it made bold; no letter of it is changed."""
    return escape(text).replace(escape(name), Markup("<strong>{}</strong>").format(name))


def _local(context: Context, at: datetime) -> datetime:
    return at.astimezone(get_timezone(context["timezone"]))


def _locale(context: Context) -> str:
    return catalogues.locale_of(context["language"])


def _environment() -> Environment:
    # Everything is escaped but plain text, which has no markup to defend, and JSON, where |tojson escapes each value.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape((), ("txt", "json"), default=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "local_date": _local_date,
        "local_time": _local_time,
        "local_datetime": _local_datetime,
        "local_short": _local_short,
        "strong": _strong,
    }
    environment.globals["language_name"] = catalogues.name_of
    return environment


_ENVIRONMENT = _environment()
# Dark colours live in a media query that cannot be inlined, so its style element stays.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)
