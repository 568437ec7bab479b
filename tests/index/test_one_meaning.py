"""One meaning of a payload: every index gives what ``matches`` says, whatever payload and condition are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import chain, cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qembed.corpus.normal import normal_form
from qembed.index import Condition, Index, IndexName, make_index, matches
from qembed.index.dates import microseconds
from qembed.index.filters import SIZES, Operator, is_number
from qembed.index.payload import point_of, same_payload
from qembed.store import Record

KINDS: tuple[IndexName, ...] = ("memory", "edge", "exact")
QUERY = np.array([1, 0], dtype=np.float32)

NAMES = [
    "n",
    "a b",
    "dc:title",
    "@t",
    "a.b",
    "größe",
    "日本",
    "it's",
    'q"',
    "back\\slash",
    "a[0]",
    "",
    "x-y_z",
    "0",
]
INTEGERS = [0, 1, -1, 2, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0**53, 2.0**63, 1e300, -1e300, 5e-324, 0.1 + 0.2]
DATES = [
    "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01 01:00:00+01:00", "2023-12-31T23:59:59.999999",
    "2024-01-01T00:00:00.000001234Z", "2024-02-29T12:30", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-2359", "2024-01-01T00:00:00-05",
]  # fmt: skip
STRINGS = ["", "a", "A", "1", "true", "null", "größe", "2024-02-30", "2024-01-01T23:59:60Z", "1e400", "1.10"]
numbers = st.one_of(
    st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(FLOATS) | st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(
    st.booleans(),
    numbers,
    st.sampled_from(DATES + STRINGS) | st.text(max_size=3),
)
raw = st.one_of(  # as readers of JSON, TOML and Arrow give them
    st.none(),
    scalars,
    st.sampled_from([2**63, -(2**63) - 1, 10**29, float("nan"), float("inf"), Decimal("1.10"), b"\0"]),
    st.dates() | st.datetimes() | st.datetimes(timezones=st.just(timezone(timedelta(hours=-9)))),
    st.sampled_from([date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)]),
)
names = st.sampled_from(NAMES)
values = st.recursive(
    raw, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2), max_leaves=6
)
metadata = st.dictionaries(names, values, max_size=4).map(normal_form)


def quoted(name: str) -> str:
    """The name as a condition writes it."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


paths = st.lists(names, min_size=1, max_size=2)
big = st.sampled_from([2**63, -(2**63) - 1, 10**29, 10**400, float("inf"), float("nan")])
moments = st.sampled_from(DATES) | st.datetimes().map(datetime.isoformat) | st.dates().map(date.isoformat)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    field = ".".join(map(quoted, draw(paths)))
    operator: Operator = draw(st.sampled_from(["=", "!=", *SIZES]))
    value = draw(numbers | moments) if operator in SIZES else draw(scalars | big)
    return Condition(field, operator, value)


def about(payload: dict[str, Any]) -> Iterator[Condition]:
    """Every question on what is there: most others find nothing."""
    for path, value in leaves(payload):
        field = ".".join(map(quoted, path))
        if is_number(value):
            wanted = [value, value + 1, -value, float(value)]
            yield from (Condition(field, operator, each) for operator in SIZES for each in wanted)
        elif microseconds(value) is not None:
            yield from (Condition(field, operator, value) for operator in SIZES)
        if value is not None:
            yield Condition(field, "=", value)
            yield Condition(field, "!=", value)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        yield from ((path, inner) for inner in value if not isinstance(inner, dict | list))
    elif path:
        yield path, value


@contextmanager
def filled(kind: IndexName, payloads: list[dict[str, Any]]) -> Iterator[Index]:
    if kind == "edge":
        pytest.importorskip("qdrant_edge")
    with closing(make_index(kind, 2)) as index:
        index.add(
            point_of(Record(at + 1, f"c{at}", "text", np.array([1, at], dtype=np.float32), payload))
            for at, payload in enumerate(payloads)
        )
        yield index


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(
    payloads=st.lists(metadata, min_size=1, max_size=6), more=st.lists(conditions(), min_size=1, max_size=6)
)
def test_every_index_gives_what_matches_says(
    kind: IndexName, payloads: list[dict[str, Any]], more: list[Condition]
) -> None:
    with filled(kind, payloads) as index:
        everything = {hit.chunk_id: hit.payload for hit in index.search(QUERY, depth=99)}
        for at, payload in enumerate(payloads):
            assert same_payload(payload, {key: everything[f"c{at}"][key] for key in payload})
        single = [[each] for payload in payloads for each in about(payload)] + [[each] for each in more]
        for where in [*single, *zip(chain.from_iterable(single), cycle(more))]:
            expected = {
                name for name, payload in everything.items() if all(matches(payload, each) for each in where)
            }
            found = {hit.chunk_id for hit in index.search(QUERY, depth=99, where=where)}
            assert found == expected, where
