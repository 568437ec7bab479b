"""One meaning of a payload: every index gives what ``matches`` says, whatever payload and condition are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from importlib.metadata import version
from itertools import chain, cycle
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub

from qembed.corpus import point_id
from qembed.corpus.normal import normal_form
from qembed.index import Condition, EdgeIndex, Index, IndexName, Point, make_index, matches, parse_condition
from qembed.index.dates import microseconds
from qembed.index.filters import SIZES, Operator, is_number
from qembed.index.payload import point_of, same_payload
from qembed.index.server.batches import encode
from qembed.index.server.search import ServerIndex
from qembed.index.server.served import open_served
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


def points(payloads: list[dict[str, Any]]) -> Iterator[Point]:
    for at, payload in enumerate(payloads):
        yield point_of(Record(at + 1, f"c{at}", "text", np.array([1, at], dtype=np.float32), payload))


@contextmanager
def filled(kind: IndexName, payloads: list[dict[str, Any]]) -> Iterator[Index]:
    if kind == "edge":
        pytest.importorskip("qdrant_edge")
    with closing(make_index(kind, 2)) as index:
        index.add(points(payloads))
        yield index


@contextmanager
def served(stub: QdrantStub, payloads: list[dict[str, Any]]) -> Iterator[Index]:
    """The points on a server, as an upload sends them."""
    client = QdrantClient(url=stub.url, check_compatibility=False)
    client.create_collection("c", models.VectorParams(size=2, distance=models.Distance.COSINE))
    body = b",".join(encode(at, point).json for at, point in enumerate(points(payloads)))
    sent = httpx.put(f"{stub.url}/collections/c/points?wait=true", content=b'{"points":[' + body + b"]}")
    sent.raise_for_status()
    try:
        with closing(ServerIndex(open_served(f"qdrant://{stub.url.removeprefix('http://')}/c"))) as index:
            yield index
    finally:
        client.delete_collection("c")
        client.close()


def gives_what_matches_says(index: Index, payloads: list[dict[str, Any]], more: list[Condition]) -> None:
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


some_payloads = st.lists(metadata, min_size=1, max_size=6)
some_conditions = st.lists(conditions(), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(payloads=some_payloads, more=some_conditions)
def test_every_index_gives_what_matches_says(
    kind: IndexName, payloads: list[dict[str, Any]], more: list[Condition]
) -> None:
    with filled(kind, payloads) as index:
        gives_what_matches_says(index, payloads, more)


@pytest.fixture(scope="module")
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as running:
        yield running


@pytest.mark.skipif(
    tuple(map(int, version("qdrant-client").split(".")[:2])) < (1, 20),
    reason="the stub's engine, that of an older client, reads fewer dates and takes 1 for true",
)
@settings(max_examples=6)
@given(payloads=some_payloads, more=some_conditions)
def test_a_server_gives_what_matches_says(
    stub: QdrantStub, payloads: list[dict[str, Any]], more: list[Condition]
) -> None:
    with served(stub, payloads) as index:
        gives_what_matches_says(index, payloads, more)


NUMBER = 11465328351749295394


@pytest.mark.parametrize("value", [NUMBER, str(NUMBER), [1, NUMBER]])
def test_a_long_integer_that_another_tool_sent_is_found(stub: QdrantStub, value: object) -> None:
    """To qembed it is a word; such a point holds it as a number."""
    with served(stub, [{"hash": 5}, {"hash": "word"}]) as index:
        stub.db.set_payload("c", {"hash": value}, points=[point_id("c1")])
        for text, expected in {
            f"hash={NUMBER}": {"c1"},
            f"hash!={NUMBER}": {"c0"},
            f"hash={NUMBER + 1}": set(),
        }.items():
            found = index.search(QUERY, depth=9, where=[parse_condition(text)])
            assert {hit.chunk_id for hit in found} == expected, text


def test_the_engine_reads_a_long_integer_as_a_number() -> None:
    """What the filter for it rests on: a range finds it, a word does not."""
    pytest.importorskip("qdrant_edge")
    with closing(make_index("edge", 2)) as index:
        payload = {"hash": NUMBER}
        index.add([Point("a", QUERY, payload)])
        (hit,) = index.search(QUERY, depth=1, where=[Condition("hash", ">", 2**63)])
        assert hit.payload["hash"] == NUMBER


def test_an_index_for_integers_does_not_make_fractions_of_them() -> None:
    """Such an index on a server finds 1.0 for 1; and what it does not hold, no range finds."""
    edge = pytest.importorskip("qdrant_edge")
    with filled("edge", [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": [0, 1]}]) as index:
        assert isinstance(index, EdgeIndex)
        make = edge.UpdateOperation.create_field_index("n", edge.PayloadSchemaType.Integer)
        index._shard.update(make)
        gives_what_matches_says(index, [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": [0, 1]}], [])
