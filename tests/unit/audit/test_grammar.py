"""What may be asked of the audit log, and what is told to whoever asks in another way."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import grammar
from consent_service.audit.grammar import (
    ActionTerm,
    ActorTerm,
    CreatedTerm,
    Query,
    SubjectTerm,
)
from consent_service.audit.query_values import QueryProblem, Vocabulary
from consent_service.errors import AuditQueryInvalidError

OSLO = ZoneInfo("Europe/Oslo")
WORDS = Vocabulary(
    actions=frozenset(
        {"consent.given", "consent.withdrawn", "evidence.revealed", "purpose.created", "subject.revealed"}
    ),
    channels=("email", "sms", "web"),
    purposes=("newsletter", "profiling"),
    zone=OSLO,
)
# They name tests, and all processes of a run must give a test the same name.
KEY = "key_01KJKB3Q00FMKSE9Q8F343AM8J"
OPERATOR = "opr_01KJKB3Q00EDP8F16C4MVFDW57"
PERSON = "sub_056SG0YA1CHDC681T68K4WYZMT"


def parse(text: str) -> Query:
    return grammar.parse(text, vocabulary=WORDS)


def outcome(text: str) -> Query | tuple[QueryProblem, ...]:
    """Return the query, or what is wrong with it."""
    try:
        return parse(text)
    except AuditQueryInvalidError as error:
        return tuple(each for each in error.problems if isinstance(each, QueryProblem))


def refused(text: str) -> tuple[QueryProblem, ...]:
    """Return what is wrong with a query."""
    found = outcome(text)
    assert not isinstance(found, Query)
    return found


def place(text: str) -> tuple[str, str, str | None]:
    """Return the one thing that is wrong: its code, the characters it points at, and the suggestion."""
    (problem,) = refused(text)
    start = problem.column - 1
    return problem.code, text[start : start + problem.length], problem.suggestion


class TestTerms:
    def test_a_query_is_read_into_terms_in_the_order_they_stand(self) -> None:
        query = parse(f"action:consent.given  -actor:system\tsubject:{PERSON}\npurpose:newsletter channel:sms")

        assert [(term.name, term.is_negated) for term in query.terms] == [
            ("action", False),
            ("actor", True),
            ("subject", False),
            ("purpose", False),
            ("channel", False),
        ]
        assert query.text == f"action:consent.given -actor:system subject:{PERSON} purpose:newsletter channel:sms"

    @pytest.mark.parametrize("text", ["", "   ", "\n\t"])
    def test_an_empty_query_asks_for_everything(self, text: str) -> None:
        assert parse(text) == Query()

    def test_each_term_knows_where_its_value_stands(self) -> None:
        text = '  -action:consent.* subject:"+47 900 00 000"'

        spans = [text[term.column - 1 : term.column - 1 + term.length] for term in parse(text).terms]

        assert spans == ["consent.*", "+47 900 00 000"]

    def test_case_means_nothing_where_the_service_chose_the_words(self) -> None:
        query = parse(f"ACTION:Consent.Given Actor:API_KEY:{KEY.lower()} Purpose:Newsletter CHANNEL:Email")

        assert query.text == f"action:consent.given actor:api_key:{KEY} purpose:newsletter channel:email"

    def test_a_quoted_value_is_the_same_as_a_bare_one(self) -> None:
        assert parse('action:"consent.given"').text == "action:consent.given"

    def test_a_term_that_stands_twice_counts_once(self) -> None:
        assert parse("channel:sms channel:SMS -channel:sms").text == "channel:sms -channel:sms"

    def test_the_canonical_text_means_the_same_and_is_its_own(self) -> None:
        text = f"created:2026-11-01..2026-11-30 created:=2026-12-01 -ACTOR:{KEY} request_id:0a1B action:*.revealed"
        once = parse(text)

        again = parse(once.text)

        assert again.text == once.text
        assert again.text == (
            f"created:2026-11-01..2026-11-30 created:2026-12-01 -actor:api_key:{KEY} request_id:0a1B action:*.revealed"
        )


class TestActors:
    @pytest.mark.parametrize(
        ("value", "kind", "actor_id"),
        [
            ("subject", "subject", None),
            ("operator", "operator", None),
            ("system", "system", None),
            ("api_key", "api_key", None),
            (KEY, "api_key", KEY),
            (f"api_key:{KEY}", "api_key", KEY),
            (OPERATOR, "operator", OPERATOR),
            (f"operator:{OPERATOR}", "operator", OPERATOR),
            ("system:command_line", "system", "command_line"),
        ],
    )
    def test_a_kind_or_one_of_them(self, value: str, kind: str, actor_id: str | None) -> None:
        (term,) = parse(f"actor:{value}").of(ActorTerm)

        assert (term.kind, term.id) == (kind, actor_id)

    @pytest.mark.parametrize(
        ("value", "code", "suggestion"),
        [
            ("operater", "actor_unknown", "operator"),
            ("zzz", "actor_unknown", None),
            ("kari@kunde.example", "actor_unknown", None),
            ("key_123", "actor_invalid", None),
            (f"operator:{KEY}", "actor_invalid", None),
            (PERSON, "actor_invalid", "subject"),
            (f"subject:{PERSON}", "actor_invalid", "subject"),
            ("system:Rm -rf"[:12], "actor_invalid", None),
        ],
    )
    def test_others_are_refused(self, value: str, code: str, suggestion: str | None) -> None:
        text = f'-actor:"{value}"'

        assert place(text) == (code, value, suggestion)


class TestActions:
    @pytest.mark.parametrize(
        ("pattern", "types"),
        [
            ("consent.given", ("consent.given",)),
            ("consent.*", ("consent.given", "consent.withdrawn")),
            ("*.revealed", ("evidence.revealed", "subject.revealed")),
            ("*", tuple(sorted(WORDS.actions))),
        ],
    )
    def test_a_pattern_means_the_types_that_it_matches(self, pattern: str, types: tuple[str, ...]) -> None:
        (term,) = parse(f"action:{pattern}").of(ActionTerm)

        assert term.types == types

    @pytest.mark.parametrize(
        ("value", "suggestion"),
        [
            ("consent.gven", "consent.given"),
            ("consnt.*", "consent.*"),
            ("nothing", None),
            ("consent.[gw]*", "consent.*"),
            ("*.erased", None),
            ("a" * 500, None),
        ],
    )
    def test_one_that_matches_nothing_is_refused_with_what_was_meant(self, value: str, suggestion: str | None) -> None:
        code, span, meant = place(f"action:{value}")

        assert (code, span) == ("action_unknown", value)
        assert suggestion is None or meant == suggestion


class TestSubjects:
    def test_an_id_is_a_person(self) -> None:
        (term,) = parse(f"subject:{PERSON.lower()}").of(SubjectTerm)

        assert term.text == PERSON

    @pytest.mark.parametrize(
        ("written", "kind", "address"),
        [
            ("kari@kunde.example", "email", "kari@kunde.example"),
            ("+4790000000", "phone", "+4790000000"),
            ('"+47 900 00 000"', "phone", "+47 900 00 000"),
        ],
    )
    def test_anything_else_is_an_address_that_somebody_has_to_resolve(
        self, written: str, kind: str, address: str
    ) -> None:
        query = parse(f"-subject:{written}")

        (term,) = query.addresses
        assert (term.kind, term.text, term.is_negated) == (kind, address, True)

    def test_an_address_is_never_written_out(self) -> None:
        query = parse("subject:kari@kunde.example")

        with pytest.raises(ValueError, match="never written out"):
            _ = query.text
        assert "kari" not in repr(query)

    @pytest.mark.parametrize("value", ["kari", "90000000", "sub_1", "con_" + "0" * 26, "Storgata 1, 0155 Oslo"])
    def test_what_is_neither_is_refused(self, value: str) -> None:
        assert place(f'subject:"{value}"') == ("subject_invalid", value, None)


class TestPurposesAndChannels:
    def test_unknown_ones_are_refused_with_what_was_meant(self) -> None:
        assert place("purpose:newsleter") == ("purpose_unknown", "newsleter", "newsletter")
        assert place("-channel:emial") == ("channel_unknown", "emial", "email")
        assert place("purpose:zzz") == ("purpose_unknown", "zzz", None)


class TestRequestIds:
    def test_the_case_of_an_id_is_kept(self) -> None:
        assert parse("request_id:0aB-1.c_d").text == "request_id:0aB-1.c_d"

    @pytest.mark.parametrize("value", ["a/b", "a" * 101, "ø"])
    def test_what_no_header_carries_is_refused(self, value: str) -> None:
        assert place(f"request_id:{value}") == ("request_id_invalid", value, None)


class TestCreated:
    def test_days_are_those_of_the_controllers_zone(self) -> None:
        (term,) = parse("-created:>=2026-11-01").of(CreatedTerm)

        assert (term.period.since, term.period.until) == (datetime(2026, 10, 31, 23, tzinfo=UTC), None)
        assert term.text == ">=2026-11-01"

    def test_what_is_no_time_is_refused(self) -> None:
        assert place("created:>=tomorrow") == ("created_invalid", ">=tomorrow", None)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "code", "span", "suggestion"),
        [
            ("acton:consent.given", "qualifier_unknown", "acton", "action"),
            ("-Type:consent.given", "qualifier_unknown", "Type", "action"),
            ("zzzz:1", "qualifier_unknown", "zzzz", None),
            ("consent.given", "qualifier_missing", "consent.given", "action:consent.given"),
            ("-consent.gven", "qualifier_missing", "consent.gven", "action:consent.given"),
            ("newsletter", "qualifier_missing", "newsletter", "purpose:newsletter"),
            ("SMS", "qualifier_missing", "SMS", "channel:sms"),
            ("system", "qualifier_missing", "system", "actor:system"),
            ("kari@kunde.example", "qualifier_missing", "kari@kunde.example", "subject:…"),
            (PERSON, "qualifier_missing", PERSON, "subject:…"),
            (KEY, "qualifier_missing", KEY, "actor:…"),
            ("2026-11-01T08:00:00Z", "qualifier_missing", "2026-11-01T08:00:00Z", "created:…"),
            ("???", "qualifier_missing", "???", None),
            ("-", "qualifier_missing", "-", None),
            ("--action:consent.given", "qualifier_missing", "-action:consent.given", None),
            ('"kari nordmann"', "qualifier_missing", '"kari nordmann"', None),
            ("action:", "value_missing", "action:", None),
            ('-action:""', "value_missing", '-action:""', None),
            ('subject:"  "', "value_missing", 'subject:"  "', None),
            ('subject:"Storgata 1 channel:sms', "quote_open", '"Storgata 1 channel:sms', None),
            ('action:con"sent', "quote_misplaced", '"', None),
            ('subject:"Storgata 1"channel:sms', "quote_misplaced", "channel:sms", None),
        ],
    )
    def test_it_is_pointed_at_with_what_would_be_right(
        self, text: str, code: str, span: str, suggestion: str | None
    ) -> None:
        found = place(text)

        assert found[:2] == (code, span)
        assert suggestion is None or found[2] == suggestion

    def test_all_that_is_wrong_is_told_at_once_with_its_column(self) -> None:
        problems = refused("acton:x action:consent.given channel:fax  created:tomorrow")

        assert [(each.column, each.length, each.code) for each in problems] == [
            (1, 5, "qualifier_unknown"),
            (38, 3, "channel_unknown"),
            (51, 8, "created_invalid"),
        ]

    def test_columns_count_characters(self) -> None:
        assert place('subject:"bjørn 😀@kunde.example" channel:fax') == ("channel_unknown", "fax", None)

    def test_it_is_a_problem_of_the_field_for_doors_without_columns(self) -> None:
        (problem,) = refused("channel:fax")

        assert (problem.pointer, problem.code) == ("/q", "channel_unknown")
        assert problem.detail == "There is no such channel."

    def test_it_is_too_long(self) -> None:
        (problem,) = refused("a" * (grammar.LONGEST_QUERY + 5))

        assert (problem.code, problem.column, problem.length) == ("query_too_long", grammar.LONGEST_QUERY + 1, 5)

    def test_it_has_too_many_terms(self) -> None:
        fits = " ".join(f"request_id:{number}" for number in range(grammar.MOST_TERMS))
        assert len(parse(fits).terms) == grammar.MOST_TERMS

        (problem,) = refused(f"{fits} request_id:more request_id:most")

        assert (problem.code, problem.column) == ("too_many_terms", len(fits) + 2)

    def test_what_was_pasted_by_mistake_is_not_taken_apart_to_the_end(self) -> None:
        assert len(refused("word " * 40)) == 10


#: An address in every place where somebody could put one, and what looks like one.
SPILT = (
    "kari.secret@kunde.example",
    "kari.secret@kunde.example:x",
    "kari.secret:y",
    "actor:kari.secret@kunde.example",
    "subject:kari.secret",
    'subject:"kari.secret',
    'subject:"kari.secret"x',
    'subject:kari.secret"x',
    "created:kari.secret",
    "purpose:kari.secret",
    "channel:kari.secret",
    "action:kari.secret",
    "request_id:kari.secret@x",
    "kari_secret:x",
)


class TestPersonalData:
    @pytest.mark.parametrize("text", SPILT)
    def test_no_error_repeats_what_was_sent(self, text: str) -> None:
        with pytest.raises(AuditQueryInvalidError) as caught:
            parse(text)

        told = f"{caught.value} {caught.value!r} {caught.value.problems}"
        assert "secret" not in told
        assert caught.value.__cause__ is None


class TestAnyText:
    @given(st.text(alphabet=st.sampled_from(list('-:"*.><=@+ abctionsubject_019\n')), max_size=120))
    def test_it_is_a_query_or_is_refused_at_a_place_that_it_has(self, text: str) -> None:
        found = outcome(text)

        if isinstance(found, Query):
            assert found.addresses or parse(found.text).text == found.text
        else:
            assert all(1 <= each.column <= len(text) for each in found)
            assert all(1 <= each.length <= len(text) - each.column + 1 for each in found)

    @given(st.text(max_size=200))
    def test_no_text_breaks_the_reader(self, text: str) -> None:
        found = outcome(text)

        assert isinstance(found, Query) or found
