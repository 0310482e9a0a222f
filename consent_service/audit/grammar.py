"""Reads what somebody asks of the audit log, in terms such as `action:consent.*` and `-actor:system`.

It only reads: who an address belongs to, and which id a purpose has, is for the caller to find out. What is wrong is
told with its column and never repeated, for it may be somebody's address.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeVar

from consent_service.audit import periods, query_values
from consent_service.audit.periods import Period, PeriodInvalidError
from consent_service.audit.query_values import QueryProblem, ValueRefusedError, Vocabulary
from consent_service.errors import AuditQueryInvalidError

LONGEST_QUERY: Final = 2000
MOST_TERMS: Final = 50
# Whoever made more mistakes than this has pasted something else.
_MOST_PROBLEMS: Final = 10

_WORD: Final = re.compile(
    r"""(?P<minus>-?)(?:(?P<name>[A-Za-z][A-Za-z_-]*):)?(?:"(?P<quoted>[^"]*)"(?P<tail>\S*)|(?P<bare>\S*))"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One qualifier with its value: `text` in canonical form, and where the value stands (columns count from 1)."""

    name: ClassVar[str]

    text: str = field(repr=False)
    is_negated: bool = False
    column: int = 1
    length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorTerm(Term):
    """Who acted: everybody of a kind, or one of them."""

    name: ClassVar[str] = "actor"

    kind: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTerm(Term):
    """What happened: the types that a pattern means."""

    name: ClassVar[str] = "action"

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectTerm(Term):
    """The person it is about, by id (`text`)."""

    name: ClassVar[str] = "subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressTerm(Term):
    """The person it is about, by an address (`text`) that must be turned into an id before anything is asked."""

    name: ClassVar[str] = "subject"

    kind: Literal["email", "phone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeTerm(Term):
    """The purpose it is about, by key."""

    name: ClassVar[str] = "purpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTerm(Term):
    """The channel it is about."""

    name: ClassVar[str] = "channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedTerm(Term):
    """When it happened."""

    name: ClassVar[str] = "created"

    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTerm(Term):
    """The request in which it happened."""

    name: ClassVar[str] = "request_id"


T = TypeVar("T", bound=Term)

NAMES: Final = ("actor", "action", "subject", "purpose", "channel", "created", "request_id")
_SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(
    {"by": "actor", "date": "created", "event": "action", "person": "subject", "type": "action", "who": "actor"}
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: of the terms of one name any, of different names all, and none of the negated ones.

    Bounds of `created:` are the exception, for two of them make a period: each of them holds.
    """

    terms: tuple[Term, ...] = ()

    @property
    def addresses(self) -> tuple[AddressTerm, ...]:
        """Return the terms that name a person by an address."""
        return self.of(AddressTerm)

    @property
    def text(self) -> str:
        """Return the query in canonical form; raises ValueError while an address stands in it."""
        if self.addresses:
            raise ValueError("an address is never written out")
        return " ".join(f"{'-' if term.is_negated else ''}{term.name}:{term.text}" for term in self.terms)

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """Return the terms of one kind."""
        return tuple(term for term in self.terms if isinstance(term, kind))


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of a query, cut into its parts; `column` and `value_column` count from 1."""

    column: int
    length: int
    is_negated: bool
    name: str | None
    value: str = field(repr=False)
    value_column: int
    problem: QueryProblem | None


def parse(text: str, *, vocabulary: Vocabulary) -> Query:
    """Read a query; an empty one asks for everything. Raises AuditQueryInvalidError with all that is wrong.

    Case means nothing in names, types, kinds, ids and channels. A term that stands twice counts once.
    """
    if len(text) > LONGEST_QUERY:
        too_long = f"A query has at most {LONGEST_QUERY} characters."
        raise AuditQueryInvalidError(
            (_problem(LONGEST_QUERY + 1, len(text) - LONGEST_QUERY, "query_too_long", too_long),)
        )
    terms: dict[tuple[str, bool, str], Term] = {}
    problems: list[QueryProblem] = []
    for count, word in enumerate(_words(text), start=1):
        if count > MOST_TERMS:
            too_many = f"A query has at most {MOST_TERMS} terms."
            problems.append(_problem(word.column, word.length, "too_many_terms", too_many))
        else:
            term = _read(word, vocabulary)
            if isinstance(term, Term):
                terms.setdefault((term.name, term.is_negated, term.text), term)
            else:
                problems.append(term)
        if count > MOST_TERMS or len(problems) == _MOST_PROBLEMS:
            break
    if problems:
        raise AuditQueryInvalidError(tuple(problems))
    return Query(tuple(terms.values()))


def _words(text: str) -> Iterator[_Word]:
    place = 0
    while True:
        place += len(text[place:]) - len(text[place:].lstrip())
        found = _WORD.match(text, place)
        if found is None or not found[0]:
            return
        word = _word(found, length_of_text=len(text))
        yield word
        place += word.length


def _word(found: re.Match[str], *, length_of_text: int) -> _Word:
    column, length = found.start() + 1, len(found[0])
    bare, tail = found["bare"] or "", found["tail"] or ""
    value_column = found.start("bare" if found["quoted"] is None else "quoted") + 1
    problem = None
    if bare.startswith('"'):
        # No quote follows anywhere, so nobody knows where the value was to end.
        length = length_of_text - found.start()
        rest = length_of_text - value_column + 1
        problem = _problem(value_column, rest, "quote_open", "The quoted value has no closing quote.")
    elif '"' in bare:
        at = value_column + bare.index('"')
        problem = _problem(at, 1, "quote_misplaced", 'Quotes stand around the whole value, as in subject:"…".')
    elif tail:
        at = found.start("tail") + 1
        problem = _problem(at, len(tail), "quote_misplaced", "A space follows the closing quote.")
    return _Word(
        column=column,
        length=length,
        is_negated=bool(found["minus"]),
        name=found["name"],
        value=bare or found["quoted"] or "",
        value_column=value_column,
        problem=problem,
    )


def _read(word: _Word, vocabulary: Vocabulary) -> Term | QueryProblem:
    """Read one word; what is wrong with it is returned, so that all of it can be told at once."""
    if word.problem is not None or word.name is None:
        return word.problem or _free_word(word, vocabulary)
    name = word.name.lower()
    if name not in NAMES:
        return _unknown_name(word, name)
    if not word.value.strip():
        detail = "The value follows the colon, without a space between."
        return _problem(word.column, word.length, "value_missing", detail)
    try:
        return _term(name, word, vocabulary)
    except (ValueRefusedError, PeriodInvalidError) as refused:
        suggestion = refused.suggestion if isinstance(refused, ValueRefusedError) else None
        return _problem(word.value_column, len(word.value), refused.code, refused.detail, suggestion)


def _unknown_name(word: _Word, name: str) -> QueryProblem:
    known = ", ".join(f"{each}:" for each in NAMES)
    return _problem(
        word.column + word.is_negated,
        len(name),
        "qualifier_unknown",
        f"There is no such qualifier. These are known: {known}.",
        _SYNONYMS.get(name) or query_values.nearest(name, NAMES),
    )


def _term(name: str, word: _Word, vocabulary: Vocabulary) -> Term:
    """Make the term of a word; raises ValueRefusedError or PeriodInvalidError."""
    value, negated, column, length = word.value, word.is_negated, word.value_column, len(word.value)
    if name == "actor":
        kind, actor_id = query_values.read_actor(value)
        text = kind if actor_id is None else f"{kind}:{actor_id}"
        return ActorTerm(text=text, is_negated=negated, column=column, length=length, kind=kind, id=actor_id)
    if name == "action":
        types = query_values.read_action(value, vocabulary.actions)
        return ActionTerm(text=value.lower(), is_negated=negated, column=column, length=length, types=types)
    if name == "subject":
        return _person(word)
    if name == "created":
        period = periods.read(value, zone=vocabulary.zone)
        return CreatedTerm(text=period.text, is_negated=negated, column=column, length=length, period=period)
    if name == "request_id":
        text = query_values.read_request_id(value)
        return RequestTerm(text=text, is_negated=negated, column=column, length=length)
    of, known = (PurposeTerm, vocabulary.purposes) if name == "purpose" else (ChannelTerm, vocabulary.channels)
    text = query_values.read_known(value, known, kind=name)
    return of(text=text, is_negated=negated, column=column, length=length)


def _person(word: _Word) -> SubjectTerm | AddressTerm:
    kind, text = query_values.read_person(word.value)
    negated, column, length = word.is_negated, word.value_column, len(word.value)
    if kind == "id":
        return SubjectTerm(text=text, is_negated=negated, column=column, length=length)
    return AddressTerm(text=text, is_negated=negated, column=column, length=length, kind=kind)


def _free_word(word: _Word, vocabulary: Vocabulary) -> QueryProblem:
    minus = word.is_negated and word.length > 1
    return _problem(
        word.column + minus,
        word.length - minus,
        "qualifier_missing",
        "Words alone are not searched, for what entries say is sealed. Write qualifier:value, as in action:consent.*",
        query_values.qualified(word.value, vocabulary),
    )


def _problem(column: int, length: int, code: str, detail: str, suggestion: str | None = None) -> QueryProblem:
    return QueryProblem(column=column, length=length, code=code, detail=detail, suggestion=suggestion)
