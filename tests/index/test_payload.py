"""What a point carries: nothing of the record is lost, and the hash tells every change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus import content_sha256
from qembed.corpus.normal import normal_form
from qembed.index.payload import metadata_of, point_of, same_payload
from qembed.store import Record

VECTOR = np.array([3, 4], dtype=np.float32)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
METADATA = st.dictionaries(
    st.text() | st.sampled_from(["text", "chunk_id", "content_sha256", "original", "point_sha256"]),
    st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8),
).map(normal_form)


def record(**changes: Any) -> Record:
    return replace(Record(1, "c:s:f:chunk:0", "Größe", VECTOR, {"page": 2}), **changes)


def test_metadata_text_and_hashes() -> None:
    point = point_of(record())
    assert point.chunk_id == "c:s:f:chunk:0"
    assert point.vector is VECTOR
    sha256 = point.payload.pop("point_sha256")
    assert len(sha256) == 64
    assert point.payload == {
        "page": 2,
        "text": "Größe",
        "chunk_id": "c:s:f:chunk:0",
        "content_sha256": content_sha256("Größe"),
    }


def test_an_id_of_another_tool_is_a_string() -> None:
    assert point_of(record(id=7)).chunk_id == point_of(record(id=7)).payload["chunk_id"] == "7"


def test_no_text_is_no_empty_text() -> None:
    assert not {"text", "content_sha256"} & point_of(record(text=None)).payload.keys()
    assert point_of(record(text="")).payload["text"] == ""
    payload = point_of(record(text=None, metadata={"text": ["no", "text"]})).payload
    assert "text" not in payload
    assert payload["original"] == {"text": ["no", "text"]}


def test_what_the_metadata_say_otherwise_is_kept_as_original() -> None:
    metadata = {"text": "another", "chunk_id": 5, "content_sha256": "x", "point_sha256": "old"}
    payload = point_of(record(metadata=metadata)).payload
    assert payload["original"] == {"text": "another", "chunk_id": 5, "content_sha256": "x"}
    assert (payload["text"], payload["chunk_id"]) == ("Größe", "c:s:f:chunk:0")
    assert payload["point_sha256"] != "old"
    assert metadata["text"] == "another"  # the record's own are left as they were


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "c:s:f:chunk:1"},
        {"text": "Grösse"},
        {"text": None},
        {"vector": np.array([3, 4.000001], dtype=np.float32)},
        {"metadata": {"page": 2.0}},
        {"metadata": {"page": "2"}},
        {"metadata": {"page": 2, "more": None}},
        {"metadata": {}},
    ],
)
def test_the_hash_tells_every_change(changes: dict[str, Any]) -> None:
    before, after = point_of(record()).payload, point_of(record(**changes)).payload
    assert before["point_sha256"] != after["point_sha256"]


def test_the_hash_does_not_depend_on_the_order_of_keys_or_the_layout_of_the_vector() -> None:
    one = record(metadata={"a": {"x": 1, "y": 2}, "b": 3})
    other = record(
        metadata={"b": 3, "a": {"y": 2, "x": 1}}, vector=np.array([3, 0, 4], dtype=np.float32)[::2]
    )
    assert point_of(one).payload["point_sha256"] == point_of(other).payload["point_sha256"]


@given(metadata=METADATA, text=st.none() | st.text())
def test_a_record_read_back_from_its_payload_has_the_same_payload(
    metadata: dict[str, Any], text: str | None
) -> None:
    payload = point_of(record(metadata=metadata, text=text)).payload
    back = record(id=payload["chunk_id"], text=payload.get("text"), metadata=metadata_of(payload))
    assert point_of(back).payload == payload


@pytest.mark.parametrize(
    ("sent", "found", "same"),
    [
        ({"a": [1, {"b": None}], "c": "x"}, {"c": "x", "a": [1, {"b": None}]}, True),
        (1.0077493627254296e-162, 1.0077493627254295e-162, True),  # what the engine made of it
        (0.1, 0.10000000001, False),
        (2**53, 2**53 + 1, False),
        (1, 1.0, False),
        (1, True, False),
        ("1", 1, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [1], False),
        (None, "", False),
    ],
)
def test_what_an_engine_returned_is_what_was_sent(sent: Any, found: Any, same: bool) -> None:
    assert same_payload(sent, found) is same
