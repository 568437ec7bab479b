"""Conditions as they are typed: operators, values, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.index.filters import Condition, parse_condition


@pytest.mark.parametrize(
    ("text", "field", "operator", "value"),
    [
        ("kind=class", "kind", "=", "class"),
        ("kind!=class", "kind", "!=", "class"),
        ("chunk_index=3", "chunk_index", "=", 3),
        ("chunk_index<5", "chunk_index", "<", 5),
        ("chunk_index<=5", "chunk_index", "<=", 5),
        ("chunk_index>5", "chunk_index", ">", 5),
        ("chunk_index>=-5", "chunk_index", ">=", -5),
        ("  chunk_index  >=  5  ", "chunk_index", ">=", 5),
        ("score>0.5", "score", ">", 0.5),
        ("score<1e3", "score", "<", 1000.0),
        ("score<1E-3", "score", "<", 0.001),
        ("original.token_count>100", "original.token_count", ">", 100),
        ("a-b=c", "a-b", "=", "c"),
        ("größe=1", "größe", "=", 1),
        ("source=docs/a b.md", "source", "=", "docs/a b.md"),
        ("url=https://a/?x=1&y<2", "url", "=", "https://a/?x=1&y<2"),
        ("done=true", "done", "=", True),
        ("done=False", "done", "=", False),
        ("done!=TRUE", "done", "!=", True),
        ("version='3'", "version", "=", "3"),
        ('version="true"', "version", "=", "true"),
        ('version="=3"', "version", "=", "=3"),
        ("name=''", "name", "=", ""),
        ("name='", "name", "=", "'"),
        ("name='a\"", "name", "=", "'a\""),
        ("text=a\nb", "text", "=", "a\nb"),
        ("id=007", "id", "=", "007"),
        ("id=1_000", "id", "=", "1_000"),
        ("id=+1", "id", "=", "+1"),
        ("id=0", "id", "=", 0),
        ("id=-0", "id", "=", 0),
        ("id=١٢", "id", "=", "١٢"),
        ("version=1.2.3", "version", "=", "1.2.3"),
        ("x=nan", "x", "=", "nan"),
        ("x=inf", "x", "=", "inf"),
        ("x=-Infinity", "x", "=", "-Infinity"),
        ("x=1e999", "x", "=", "1e999"),
        ("x=9223372036854775807", "x", "=", 2**63 - 1),
        ("x=9223372036854775808", "x", "=", "9223372036854775808"),
        ("x>9223372036854775808", "x", ">", 2**63),
        ('"Header 1"=Intro', '"Header 1"', "=", "Intro"),
        ('a."b.c">=1', 'a."b.c"', ">=", 1),
        ("dc:title=T", "dc:title", "=", "T"),
        ("@timestamp!=x", "@timestamp", "!=", "x"),
        ("pdf/Producer=x", "pdf/Producer", "=", "x"),
        ("x=-9223372036854775808", "x", "=", -(2**63)),
        ("day>=2024-01-31", "day", ">=", "2024-01-31"),
        ("day<'2024-01-31 12:00:00'", "day", "<", "2024-01-31 12:00:00"),
        ("day=2024-01-31", "day", "=", "2024-01-31"),
        ('"say \\"hi\\""=1', '"say \\"hi\\""', "=", 1),
        ('""=1', '""', "=", 1),
        ("x=4611686018427387904", "x", "=", 2**62),
        ("x=" + "9" * 30, "x", "=", "9" * 30),
        ("x=" + "9" * 5000, "x", "=", "9" * 5000),
    ],
)
def test_what_is_understood(text: str, field: str, operator: Any, value: Any) -> None:
    condition = parse_condition(text)
    assert condition == Condition(field, operator, value)
    assert type(condition.value) is type(value)


@pytest.mark.parametrize(
    "text", ["", "kind", "kind=", "=class", "kind = ", "a b=c", "kind~class", "!", "a==3", "a>==3"]
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(UsageError, match="is not a condition") as caught:
        parse_condition(text)
    assert caught.value.exit_code == 2
    assert "--filter subdirectory=docs" in (caught.value.remedy or "")


@pytest.mark.parametrize("text", ["kind>class", "done<true", "a>='3'", "a<nan", "a>1_000", "a<=1e999"])
def test_sizes_of_what_is_no_number(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("field", "operator", "value", "words"),
    [
        ("Header 1", "=", "Intro", "'Header 1' is no name of a field"),
        ("", "=", 1, "'' is no name of a field"),
        ("a..b", "=", 1, "is no name of a field"),
        ('"a', "=", 1, "is no name of a field"),
        ("a", "=", "\udc80", "is not valid Unicode"),
        ("a", ">", "soon", "'soon' is not a number or a date"),
        ("a", ">", "2024-02-30", "is not a number or a date"),
        ("a", "<", True, "is not a number or a date"),
        ("a", "<", float("inf"), "is not a number or a date"),
        ("a", "<", 10**400, "is not a number or a date"),
    ],
)
def test_conditions_without_a_meaning_are_not_made(field: str, operator: Any, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        Condition(field, operator, value)


@given(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_as_json_writes_them(number: float) -> None:
    value = parse_condition(f"x={number!r}").value
    assert value == number
    assert type(value) is type(number)


@given(st.text(min_size=1).map(str.strip).filter(bool))
def test_quotes_make_any_string(text: str) -> None:
    assert parse_condition(f'x="{text}"').value == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", Condition("a", "=", "b")),
        ("a.b-c_d != 'x=y'", Condition("a.b-c_d", "!=", "x=y")),
        ("a>=1.5", Condition("a", ">=", 1.5)),
        ("a=nan", Condition("a", "=", "nan")),
        ("a=inf", Condition("a", "=", "inf")),
        ("a=007", Condition("a", "=", "007")),
        ("a=b=c", Condition("a", "=", "b=c")),
        ("größe=ja", Condition("größe", "=", "ja")),
    ],
)
def test_parsing(text: str, expected: Condition) -> None:
    found = parse_condition(text)
    assert found == expected
    assert type(found.value) is type(expected.value)


@pytest.mark.parametrize("text", ["", "a", "=1", "a=", "a>b", "a<true", "a>=nan", "a b=1", "a>'3'"])
def test_no_condition(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert repr(text) in caught.value.message
    assert caught.value.remedy
