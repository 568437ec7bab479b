"""The normal form of metadata: plain JSON, reached once, and every change of a type is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus import normal
from qembed.corpus.exact_json import loads
from qembed.corpus.normal import normal_form

OID = "5f1b9f9b9f9b9f9b9f9b9f9b"


@pytest.mark.parametrize(
    ("value", "expected", "change"),
    [
        (2**63 - 1, 2**63 - 1, None),
        (2**63, "9223372036854775808", normal.BIG_INTEGER),
        (-(2**63) - 1, "-9223372036854775809", normal.BIG_INTEGER),
        (True, True, None),
        (1.0, 1.0, None),
        (float("nan"), None, normal.NOT_FINITE),
        (float("-inf"), None, normal.NOT_FINITE),
        (loads("1e400"), "1e400", normal.HUGE),
        (loads("9" * 5000), "9" * 5000, normal.HUGE),
        (date(2024, 1, 31), "2024-01-31", normal.DATES),
        (datetime(2024, 1, 31, 12, tzinfo=UTC), "2024-01-31T12:00:00+00:00", normal.DATES),
        (time(12, 30), "12:30:00", normal.DATES),
        (pd.Timestamp("2024-01-31"), "2024-01-31T00:00:00", normal.DATES),
        (pd.NaT, None, normal.NOT_FINITE),
        (Decimal("1.10"), "1.10", normal.DECIMALS),
        (b"\0\1", "AAE=", normal.BYTES),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", normal.OTHERS),
        (np.int64(5), 5, None),
        (np.array([1.5, np.nan]), [1.5, None], normal.NOT_FINITE),
        ({1: "a"}, {"1": "a"}, normal.KEYS),
        ((1, {2}), [1, [2]], None),
        ({"$oid": OID}, OID, normal.MONGO),
        ({"$date": "2024-01-31T00:00:00Z"}, "2024-01-31T00:00:00Z", normal.MONGO),
        ({"$date": 1000}, "1970-01-01T00:00:01+00:00", normal.MONGO),
        ({"$date": {"$numberLong": "-1000"}}, "1969-12-31T23:59:59+00:00", normal.MONGO),
        ({"$numberLong": "-5"}, -5, normal.MONGO),
        ({"$numberDecimal": "1.10"}, "1.10", normal.MONGO),
    ],
)
def test_values(value: Any, expected: Any, change: str | None) -> None:
    changes: set[str] = set()
    found = normal_form({"a": [value]}, changes.add)["a"][0]
    assert (found, type(found)) == (expected, type(expected))
    assert changes == ({change} if change else set())


@pytest.mark.parametrize(
    "value",
    [
        {"$date": {"$numberLong": "soon"}},
        {"$date": {"$numberLong": 5}},
        {"$date": True},
        {"$date": 10**17},
        {"$numberLong": "--5"},
        {"$numberLong": "5.0"},
        {"$oid": OID, "more": 1},
        {"$regex": "a"},
    ],
)
def test_what_looks_like_mongodb_and_is_not(value: dict[str, Any]) -> None:
    assert normal_form(value).keys() == value.keys()


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(),
    st.datetimes(), st.dates(), st.times(), st.uuids(),
)  # fmt: skip
names = st.text() | st.sampled_from(["$oid", "$date", "$numberLong", "$numberInt"])
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=10)


@given(value=values)
def test_it_is_json_and_stays_as_it_is(value: Any) -> None:
    changes: list[str] = []
    once = normal_form(value)
    assert normal_form(once, changes.append) == once
    assert changes == []
    assert orjson.loads(orjson.dumps(once)) == once
