"""Payload indexes: how they are written, and which are missing."""

from __future__ import annotations

import pytest
from qdrant_client import models

from qembed.errors import Mismatch, UsageError
from qembed.index.server.fields import TYPES, FieldIndex, missing_fields, parse_field


@pytest.mark.parametrize(
    ("text", "field", "kind"),
    [
        ("subdirectory", "subdirectory", "keyword"),
        ("year:integer", "year", "integer"),
        ("original.year:float", "original.year", "float"),
        ("time:zone", '"time:zone"', "keyword"),
        ("time:zone:text", '"time:zone"', "text"),
        ('"Header 1":text', '"Header 1"', "text"),
        ("Header 1", '"Header 1"', "keyword"),
    ],
)
def test_parse(text: str, field: str, kind: str) -> None:
    assert parse_field(text) == FieldIndex(field, kind)


def test_a_name_that_a_server_cannot_write() -> None:
    with pytest.raises(UsageError, match="no way to write"):
        parse_field('say "hi"')


def test_whether_a_payload_has_a_field() -> None:
    payload = {"a": {"b": None}, "Header 1": 1, "x:y": 2}
    for text in ("a", "a.b", "Header 1", "x:y", '"Header 1":text'):
        assert parse_field(text).is_in(payload), text
    for text in ("b", "a.c", "a.b.c", "Header"):
        assert not parse_field(text).is_in(payload), text


@pytest.mark.parametrize("text", ["", " ", ":integer", '"":text'])
def test_no_field_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="names no field"):
        parse_field(text)


def test_the_types_are_those_of_the_client() -> None:
    assert set(TYPES) == {kind.value for kind in models.PayloadSchemaType}


def test_missing_are_those_that_are_not_there() -> None:
    want = [FieldIndex("a", "keyword"), FieldIndex("b", "integer"), FieldIndex("b", "integer")]
    assert missing_fields(want, {"a": "keyword"}, "docs") == [FieldIndex("b", "integer")]


def test_another_type_is_never_changed() -> None:
    with pytest.raises(Mismatch, match="is indexed as text, asked for is keyword"):
        missing_fields([FieldIndex("a", "keyword")], {"a": "text"}, "docs")


def test_two_types_for_one_field() -> None:
    with pytest.raises(UsageError, match="as keyword and as text"):
        missing_fields([FieldIndex("a", "keyword"), FieldIndex("a", "text")], {}, "docs")
