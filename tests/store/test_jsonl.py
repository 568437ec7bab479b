"""Embeddings as JSON lines: the same record comes back, bit for bit; other tools' files; bad lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus.exact_json import repeated_keys
from qembed.corpus.normal import normal_form
from qembed.store import BadLine, Record, read_records, record_line

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


def read(folder: Path, *lines: bytes) -> list[Record | BadLine]:
    file = folder / "x_embeddings.jsonl"
    file.write_bytes(b"".join(lines))
    return list(read_records(file))


@given(
    records=st.lists(
        st.tuples(
            TEXT, TEXT, st.lists(FLOATS, min_size=1, max_size=8), st.dictionaries(TEXT, JSON, max_size=4)
        ),
        max_size=6,
    )
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("jsonl")
    vectors = [np.array(vector, dtype=np.float32) for _, _, vector, _ in records]
    lines = [
        record_line(name, text, vector, metadata)
        for (name, text, _, metadata), vector in zip(records, vectors, strict=True)
    ]
    found = read(folder, *lines)
    assert [record.line for record in found] == list(range(1, len(records) + 1))
    for record, (name, text, _, metadata), vector in zip(found, records, vectors, strict=True):
        assert isinstance(record, Record)
        assert (record.id, record.text, record.metadata) == (name, text, normal_form(metadata))
        assert record.vector.dtype == np.float32
        assert record.vector.tobytes() == vector.tobytes()


def test_every_kind_of_float32_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """A million random bit patterns, all sizes of denormals, and the edges."""
    random = np.random.default_rng(7)
    bits = random.integers(0, 2**32, size=200_000, dtype=np.uint64).astype(np.uint32)
    denormals = np.concatenate([np.arange(2000), 2 ** np.arange(23), [0x007FFFFF, 0x00800000]])
    edges = np.array([0x80000000, 0x7F7FFFFF, 0xFF7FFFFF, 0x00000001, 0x80000001])
    vector = np.concatenate([bits, denormals, edges]).astype(np.uint32).view(np.float32)
    vector = vector[np.isfinite(vector)]
    (record,) = read(tmp_path, record_line("a", "b", vector, {}))
    assert isinstance(record, Record)
    assert record.vector.tobytes() == vector.tobytes()


def test_the_line_is_what_the_contract_says() -> None:
    line = record_line("c:d:f:chunk:0", "größe\n\u2028", np.array([0.1, -2], dtype=np.float32), {"a": 1})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert list(json.loads(line)) == ["id", "text", "embedding", "metadata"]
    expected = '{"id":"c:d:f:chunk:0","text":"größe\\n\u2028","embedding":[0.1,-2.0],"metadata":{"a":1}}\n'
    assert line == expected.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"chunk_id": "a", "vector": [1], "content": "t"}, ("a", "t", {})),
        ({"_id": "a", "values": [1.5], "page_content": "t"}, ("a", "t", {})),
        ({"id": 7, "vector": [1], "payload": {"text": "t", "n": 1}}, (7, "t", {"text": "t", "n": 1})),
        (
            {"id": "a", "embedding": [1], "document": "t", "metadata": {"text": "u"}},
            ("a", "t", {"text": "u"}),
        ),
        ({"id": "a", "embedding": [1], "metadata": None}, ("a", None, {})),
        ({"id": None, "chunk_id": "c", "embedding": None, "vector": [1]}, ("c", None, {})),
        ({"id": 3.0, "embedding": [1], "text": None, "content": "t"}, (3, "t", {})),
        ({"custom_id": "c", "embeddings": [1]}, ("c", None, {})),
        ({"id": "a", "dense_vector": [1]}, ("a", None, {})),
        ({"id": "a", "vector": {"dense": [1]}}, ("a", None, {})),
        ({"id": "a", "embedding": "[1]"}, ("a", None, {})),
        (
            {"id": "a", "embedding": [1], "metadata": [1], "text": 5},
            ("a", None, {"metadata": [1], "text": 5}),
        ),
        ({"id": "a", "chunk_id": "b", "embedding": [1], "vector": [2]}, ("a", None, {"chunk_id": "b"})),
        # keys beside the metadata, or instead of them, are metadata too
        (
            {"id": "a", "embedding": [1], "text": "t", "url": "u", "n": 2**64 - 1, "none": None},
            ("a", "t", {"url": "u", "n": str(2**64 - 1)}),
        ),
        (
            {"id": "a", "embedding": [1], "lang": "en", "n": 1, "metadata": {"n": 2, "m": 3}},
            ("a", None, {"lang": "en", "n": 2, "m": 3, "original": {"item.n": 1}}),
        ),
        ({"id": "a", "embedding": [1], "metadata": '{"n": 1e400}'}, ("a", None, {"n": "1e400"})),
        ({"id": "a", "embedding": [1], "metadata": "words"}, ("a", None, {"metadata": "words"})),
        (
            {"id": "a", "values": [1.5], "sparse_values": {"indices": [1]}, "__index_level_0__": 1},
            ("a", None, {}),
        ),
        ({"id": 1, "vector": [1], "payload": {"n": 1}, "score": 0.5, "version": 3}, (1, None, {"n": 1})),
    ],
)
def test_files_of_other_tools(tmp_path: Path, value: dict[str, Any], expected: tuple[Any, ...]) -> None:
    (record,) = read(tmp_path, orjson.dumps(value))
    assert isinstance(record, Record)
    assert (record.id, record.text, record.metadata) == expected
    assert record.vector.tolist() == ([1.5] if "values" in value else [1])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"not json\n", "not-json"),
        (b'{"id": "\xff", "embedding": [1]}\n', "not-json"),
        (b'{"id": "a", "embedding": [1]} {"id": "b"}\n', "not-json"),
        (b"[1, 2]\n", "not-an-object"),
        (b"null\n", "not-an-object"),
        (b'{"id": "a"}\n', "no-vector"),
        (b'{"id": "a", "embedding": {"0": 1}}\n', "no-vector"),
        (b'{"id": "a", "embedding": []}\n', "no-vector"),
        (b'{"id": "a", "embedding": null}\n', "no-vector"),
        (b'{"id": "a", "embedding": [1, "2"]}\n', "not-numbers"),
        (b'{"id": "a", "embedding": [1, true]}\n', "not-numbers"),
        (b'{"id": "a", "embedding": [[1, 2]]}\n', "not-numbers"),
        (b'{"id": "a", "embedding": [{}]}\n', "not-numbers"),
        (b'{"embedding": [1]}\n', "no-id"),
        (b'{"id": null, "embedding": [1]}\n', "no-id"),
        (b'{"id": true, "embedding": [1]}\n', "no-id"),
        (b'{"id": 1.5, "embedding": [1]}\n', "no-id"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: bytes, kind: str) -> None:
    good = record_line("a", "t", np.ones(2, dtype=np.float32), {})
    found = read(tmp_path, good, line, b"\n", good)
    assert [item.line for item in found] == [1, 2, 4]
    bad = found[1]
    assert isinstance(bad, BadLine)
    assert bad.kind == kind
    assert bad.reason
    assert isinstance(found[2], Record)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": "a", "emb": [1], "x": 1}', "the keys are 'id', 'emb', 'x'"),
        (b'{"id": "a", "vector": {"dense": [1], "title": [2]}}', "several vectors: dense, title"),
        (b'{"name": "a", "embedding": [1]}', "the keys are 'name', 'embedding'"),
        (b'{"id": 1.5, "embedding": [1]}', "id is 1.5"),
        (b'{"id": 7, "payload": {"text": "t"}}', 'scroll the collection with "with_vector": true'),
        (b'{"id": 7, "vector": {"words": {"indices": [1], "values": [2]}}}', "only sparse vectors: 'words'"),
        (b'{"id": 7, "vector": [[1, 2], [3, 4]]}', "a multivector"),
    ],
)
def test_the_reason_names_what_is_there(tmp_path: Path, line: bytes, said: str) -> None:
    (bad,) = read(tmp_path, line)
    assert isinstance(bad, BadLine)
    assert said in bad.reason


def test_numbers_that_no_64_bits_hold_and_nan_are_exact_or_said(tmp_path: Path) -> None:
    line = (
        b'{"id": 36893488147419103232, "embedding": [1, NaN, 1e999], "metadata": '
        b'{"big": 123456789012345678901234567890, "small": -9223372036854775809, '
        b'"u64": 18446744073709551615, "fits": 9223372036854775807, "inf": 1e400, "nan": NaN, "float": 1e20}}'
    )
    (record,) = read(tmp_path, line)
    assert isinstance(record, Record)
    assert record.id == 36893488147419103232
    assert np.isnan(record.vector[1])
    assert np.isinf(record.vector[2])
    assert record.metadata == {
        "big": "123456789012345678901234567890",
        "small": "-9223372036854775809",
        "u64": "18446744073709551615",
        "fits": 9223372036854775807,
        "inf": "1e400",
        "nan": None,
        "float": 1e20,
    }
    assert record.changes == (
        "NaN and infinities are null",
        "integers beyond 64 bits are strings",
        "numbers that no float holds are strings",
    )


def test_a_byte_order_mark(tmp_path: Path) -> None:
    (record,) = read(tmp_path, b'\xef\xbb\xbf{"id": "a", "embedding": [1]}\n')
    assert isinstance(record, Record)


@given(st.dictionaries(TEXT, JSON, max_size=5), st.booleans())
def test_repeated_keys(value: dict[str, Any], spaced: bool) -> None:
    line = json.dumps(value, indent=1 if spaced else None).encode()
    assert repeated_keys(line, json.loads(line)) == []
    twice = b'{"k": 1, "k": {"a\\": ": 2}, ' + line.lstrip()[1:]
    if not value:
        twice = b'{"k": 1, "k": 2}'
    elif "k" in value:
        return
    assert repeated_keys(twice, json.loads(twice)) == ["k"]


def test_a_line_cut_off_at_every_byte(tmp_path: Path) -> None:
    line = record_line("a", "größe", np.array([0.5, 1], dtype=np.float32), {"n": [1, {"x": 2}]})
    for length in range(1, len(line) - 1):
        (found,) = read(tmp_path, line[:length])
        assert isinstance(found, BadLine), line[:length]
        assert found.kind == "cut-off", line[:length]
    (found,) = read(tmp_path, line[:-1])
    assert isinstance(found, Record)  # only the newline is missing


def test_null_is_nan_and_what_float32_cannot_hold_is_infinite(tmp_path: Path) -> None:
    (record,) = read(tmp_path, b'{"id": "a", "embedding": [1, null, 1e39, -1e300, 1e-50]}\n')
    assert isinstance(record, Record)
    assert np.isnan(record.vector[1])
    assert record.vector[[0, 2, 3, 4]].tolist() == [1, np.inf, -np.inf, 0]


def test_windows_line_ends(tmp_path: Path) -> None:
    (record,) = read(tmp_path, b'{"id": "a", "embedding": [1]}\r\n', b"\r\n")
    assert isinstance(record, Record)
