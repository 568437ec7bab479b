"""Which strings are dates, and which moment they mean; Qdrant's engine reads them alike."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qembed.index.dates import datetime_at, microseconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def since_1970(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


NEW_YEAR = since_1970(datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", 0),
        ("2024-01-01T00:00", 0),
        ("2024-01-01 00:00:00", 0),
        ("2024-01-01T00:00:01Z", 1_000_000),
        ("2024-01-01T00:00:00.5z", 500_000),
        ("2024-01-01T00:00:00.000001999", 1),
        ("2024-01-01T02:00:00+02", 0),
        ("2024-01-01T02:30:00+0230", 0),
        ("2024-01-01T02:30:00.25+02:30", 250_000),
        ("2023-12-31T19:00:00-05:00", 0),
        ("2024-01-01T00:00:00-00:00", 0),
    ],
)
def test_what_is_a_date(text: str, expected: int) -> None:
    found = microseconds(text)
    assert found is not None
    assert found - NEW_YEAR == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "2024", "2024-01", "2024-1-1", "20240101", "2024/01/01", "01.01.2024", "2024-W01-1", "2024-001",
        "2024-02-30", "2024-13-01", "2023-02-29", "0000-01-01", "10000-01-01", " 2024-01-01", "2024-01-01 ",
        "2024-01-01\n", "2024-01-01T", "2024-01-01T12", "2024-01-01T24:00:00", "2024-01-01T23:59:60Z",
        "2024-01-01T12:00Z", "2024-01-01T12:60", "2024-01-01T12:00:00.", "2024-01-01T12:00:00.1234567890",
        "2024-01-01T12:00:00+24:00", "2024-01-01T12:00:00+01:60", "2024-01-01T12:00:00 UTC", "２０２４-01-01",
        "2024-01-01T12:00:00,5", 20240101, 1704067200.0, True, None, ["2024-01-01"],
    ],
)  # fmt: skip
def test_what_is_none(value: object) -> None:
    assert microseconds(value) is None


def test_years_that_python_cannot_hold() -> None:
    late, early = microseconds("9999-12-31T23:59:59-23:59"), microseconds("0001-01-01T00:00:00+23:59")
    assert late is not None
    assert early is not None
    assert datetime_at(late) is datetime_at(early) is None
    last = microseconds("9999-12-31T23:59:59.999999")
    assert last is not None
    assert datetime_at(last) == datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
years = {"min_value": datetime(2, 1, 1), "max_value": datetime(9998, 12, 31)}
moments = st.datetimes(**years, timezones=offsets | st.just(UTC))


@st.composite
def written(draw: st.DrawFn) -> tuple[str, datetime]:
    """A date in one of the forms, and what it means."""
    moment = draw(moments)
    offset = moment.strftime("%z")[:5]
    forms = [offset, f"{offset[:3]}:{offset[3:]}"]
    if offset == "+0000":
        forms += ["Z", "z", ""]
    if offset.endswith("00"):
        forms.append(offset[:3])
    local = moment.replace(tzinfo=None).isoformat(draw(st.sampled_from(["T", " "])), "microseconds")
    return local + draw(st.sampled_from(forms)), moment


@given(pair=written())
def test_the_moment_is_that_of_python(pair: tuple[str, datetime]) -> None:
    text, moment = pair
    found = microseconds(text)
    assert found == since_1970(moment)
    assert datetime_at(found) == moment


@given(moment=st.datetimes(timezones=st.none() | offsets) | st.dates())
def test_what_python_writes_is_read(moment: datetime) -> None:
    assert microseconds(moment.isoformat()) is not None


@settings(max_examples=10)
@given(pairs=st.lists(written(), min_size=1, max_size=20))
def test_the_engine_reads_it_alike(pairs: list[tuple[str, datetime]]) -> None:
    edge = pytest.importorskip("qdrant_edge")
    with tempfile.TemporaryDirectory() as folder:
        params = edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)
        shard = edge.EdgeShard.create(folder, edge.EdgeConfig(vectors=params))
        points = [edge.Point(at, [1.0], {"at": text}) for at, (text, _) in enumerate(pairs)]
        shard.update(edge.UpdateOperation.upsert_points(points))
        for _, moment in pairs:
            exactly = moment.astimezone(UTC).isoformat()
            bounds = edge.RangeDateTime(gte=exactly, lte=exactly)
            meant = edge.Filter(must=[edge.FieldCondition(key="at", range=bounds)])
            found = shard.count(edge.CountRequest(filter=meant, exact=True))
            assert found == sum(other == moment for _, other in pairs)
        shard.close()
