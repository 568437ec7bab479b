"""Points in JSON documents: every shape of an answer, found again by offset; what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.store import BadLine, Record, find_embeddings, read_records
from qembed.store.formats import rows
from qembed.store.json_points import JsonPoints, is_document, next_page, spans
from qembed.store.recognise import recognise

POINTS: list[dict[str, Any]] = [
    {"id": 1, "payload": {"chunk_id": "a", "text": 'x } ] \\ " points'}, "vector": [1.0, 0.5]},
    {
        "id": 2,
        "payload": {"chunk_id": "b", "text": "ü\n", "points": [{"id": 9}], "n": None},
        "vector": [0, 1],
    },
    {"id": 3, "payload": {"chunk_id": "c", "result": {"points": []}, "text": "z"}, "vector": [2, 3]},
]


def page(points: list[dict[str, Any]], offset: int | None = None) -> dict[str, Any]:
    return {
        "usage": {"hardware": {"cpu": 1}},
        "result": {"points": points, "next_page_offset": offset},
        "status": "ok",
        "time": 0.01,
    }


def written(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


SHAPES: dict[str, str] = {
    "one page": written(page(POINTS)),
    "one page over several lines": written(page(POINTS), indent=2),
    "the result alone": written(page(POINTS)["result"]),
    "what retrieve answers": written({"result": POINTS, "status": "ok"}),
    "a list": written(POINTS),
    "a list over several lines": written(POINTS, indent=1),
    "a list of pages": written([page(POINTS[:2], 3), page(POINTS[2:])]),
    "pages one after the other": written(page(POINTS[:2], 3)) + written(page(POINTS[2:])),
    "pages as JSON lines": written(page(POINTS[:2], 3)) + "\n" + written(page(POINTS[2:])) + "\n",
    "a page after an empty one": written(page([])) + "\n" + written(page(POINTS)),
    "what the client returns": written([POINTS, None]),
    "points over several lines": "\n".join(written(point, indent=4) for point in POINTS),
    "points as JSON lines": "\n".join(map(written, POINTS)),
    "a byte order mark": "\ufeff" + written(page(POINTS)),
}


def read(folder: Path, text: str, name: str = "dump.json") -> list[Record | BadLine]:
    (folder / name).write_text(text, encoding="utf-8")
    return list(read_records(folder / name))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_records(tmp_path: Path, shape: str) -> None:
    found = read(tmp_path, SHAPES[shape])
    assert [
        (one.line, one.id, one.text, one.vector.tolist()) for one in found if isinstance(one, Record)
    ] == [
        (at, point["payload"]["chunk_id"], point["payload"]["text"], point["vector"])
        for at, point in enumerate(POINTS, start=1)
    ]
    assert [one.metadata for one in found if isinstance(one, Record)] == [
        point["payload"] for point in POINTS
    ]


@pytest.mark.parametrize("shape", set(SHAPES) - {"points as JSON lines"})
def test_a_record_is_found_again_by_its_offset(tmp_path: Path, shape: str) -> None:
    read(tmp_path, SHAPES[shape])
    found = find_embeddings(tmp_path / "dump.json")
    assert found.format == "json"
    reader = rows(found.path, found.format)
    for offset, record in reader:
        again = reader.at(record.line, offset)
        assert isinstance(again, Record)
        assert isinstance(record, Record)
        assert (again.line, again.id) == (record.line, record.id)


def test_lines_are_no_document(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for text in (
        written(POINTS[0]) + "\n" + written(POINTS[1]),
        '{"id": 1, "embed\n{"id": 2, "embedding": [1]}',
        "[1, 2]\n[3, 4]",
        "",
        "{",
    ):
        file.write_text(text, encoding="utf-8")
        assert is_document(file) is (text == "{")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (SHAPES["one page"][:-55], ["", "", "", "cut-off"]),
        (SHAPES["a list"][:-1], ["", "", "", "cut-off"]),
        (SHAPES["a list"][:-10], ["", "", "cut-off"]),
        (SHAPES["a list"].replace("[1.0, 0.5]", "[1.0, , 0.5]"), ["not-json", "", ""]),
        (SHAPES["a list"].replace("[1.0, 0.5]", '["x"]'), ["not-numbers", "", ""]),
        (SHAPES["a list"] + "]", ["", "", "", "not-json"]),
        (written([{"id": 1, "vector": [1]}, 5, None, {"vector": [1]}]), ["", "no-id"]),
        (written(page([])), ["not-an-object"]),
        ("[]", ["not-an-object"]),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_kept(tmp_path: Path, text: str, kinds: list[str]) -> None:
    assert [getattr(one, "kind", "") for one in read(tmp_path, text)] == kinds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    payloads=st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), min_size=1, max_size=4),
    cut=st.integers(0, 4),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_spans_are_the_points_whatever_they_hold(
    payloads: list[dict[str, Any]], cut: int, indent: int | None, ascii_only: bool
) -> None:
    points = [{"id": at, "vector": [1.0], "payload": payload} for at, payload in enumerate(payloads)]
    document = [page(points[:cut], 1), page(points[cut:])]
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert [json.loads(data[start:end]) for start, end in spans(data)] == points


def test_the_memory_is_that_of_one_point(tmp_path: Path) -> None:
    """The reader maps the file: what it allocates does not grow with the number of points."""
    import tracemalloc

    points = [{"id": at, "vector": [0.25] * 512, "payload": {}} for at in range(2000)]
    file = tmp_path / "dump.json"
    file.write_text(written(page(points)))
    del points
    tracemalloc.start()
    try:
        assert sum(1 for _ in JsonPoints(file)) == 2000
        assert tracemalloc.get_traced_memory()[1] < file.stat().st_size / 10
    finally:
        tracemalloc.stop()


class TestNextPage:
    @pytest.mark.parametrize(
        ("document", "next_"),
        [
            (page(POINTS), None),
            (page(POINTS, 4), "4"),
            ([page(POINTS, 4), page(POINTS)], None),
            ([page(POINTS, 4), page(POINTS, 7)], "7"),
            (page(POINTS) | {"result": {"next_page_offset": "0b21", "points": POINTS}}, "0b21"),
            ([POINTS, None], None),
            ([POINTS, 4], "4"),
            (POINTS, None),
            ([{"id": 1, "vector": [1], "payload": {"text": '"next_page_offset": 5'}}], None),
        ],
    )
    @pytest.mark.parametrize("indent", [None, 2])
    def test_an_export_that_ends_early(
        self, tmp_path: Path, document: Any, next_: str | None, indent: int | None
    ) -> None:
        """Without a limit a server gives ten points, and says that there are more."""
        file = tmp_path / "dump.json"
        file.write_text(written(document, indent=indent), encoding="utf-8")
        assert next_page(file) == next_
        said = recognise(find_embeddings(file))
        assert ("INCOMPLETE: the page that begins with point" in said) == (next_ is not None)
