"""The metadata contract: nothing is lost, all that is required is there, reading again changes nothing."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus.ids import content_sha256
from qembed.corpus.layouts import BadItemError, parse_item
from qembed.corpus.metadata import Context, complete, enrich
from qembed.corpus.normal import normal_form
from qembed.records import REQUIRED_METADATA

CONTEXT = Context("eco", "docs", "page", 4)
DERIVED = {*REQUIRED_METADATA, "chunk_id"} - {"token_count"}

words = st.text(st.characters(codec="utf-8"), max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
# Keys that mean something to qembed come up as often as others.
OTHER_KEYS = {"index", "chunk_index_in_file", "file_path", "file_name", "path", "original", "id"}
KNOWN_KEYS = sorted(DERIVED | OTHER_KEYS)
NOT_EXTRAS = {"content", "text", "page_content", "metadata", "embedding", "vector", "_id"}
keys = st.sampled_from(KNOWN_KEYS) | words
documents = st.dictionaries(keys, json_values, max_size=8)
extra_documents = st.dictionaries(keys.filter(lambda key: key not in NOT_EXTRAS), json_values, max_size=5)


def enriched(value: dict[str, Any], context: Context = CONTEXT) -> tuple[str, dict[str, Any]]:
    return enrich(parse_item(value), context)


def same(one: Any, two: Any) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(two, option=orjson.OPT_SORT_KEYS)


class TestProperties:
    @given(metadata=documents, extras=extra_documents)
    def test_every_original_value_survives(self, metadata: dict[str, Any], extras: dict[str, Any]) -> None:
        for part in (metadata, extras):
            part.pop("original", None)  # the next test
        _, result = enriched({**extras, "text": "words", "metadata": metadata})
        original = result.get("original", {})
        for key, value in metadata.items():
            assert same(result[key], normal_form(value)) or same(original[key], normal_form(value))
        for key, value in extras.items():
            said_twice = key == "id" and isinstance(value, str) and value == metadata.get("chunk_id")
            assert (
                said_twice
                or same(result[key], normal_form(value))
                or same(original.get(key), normal_form(value))
                or same(original[f"item.{key}"], normal_form(value))
            )

    @given(metadata=documents, older=json_values)
    def test_what_stands_under_original_survives(self, metadata: dict[str, Any], older: Any) -> None:
        _, result = enriched({"text": "words", "metadata": {**metadata, "original": older}})
        if isinstance(older, dict):
            assert all(same(result["original"][key], value) for key, value in older.items())
        else:
            assert same(result["original"], older) or same(result["original"]["original"], older)

    @given(metadata=documents, extras=extra_documents)
    def test_required_keys_are_there_and_true(self, metadata: dict[str, Any], extras: dict[str, Any]) -> None:
        name, result = enriched({**extras, "text": "words", "metadata": metadata})
        assert set(REQUIRED_METADATA) - {"token_count"} <= set(result)
        assert (result["collection"], result["subdirectory"]) == ("eco", "docs")
        assert result["content_sha256"] == content_sha256("words")
        assert result["source"] == result["source_path"]
        assert result["filename"]
        assert "/" not in result["filename"]
        assert type(result["chunk_index"]) is int
        assert result["chunk_index"] >= 0
        assert name == result["chunk_id"] == f"eco:docs:{result['filename']}:chunk:{result['chunk_index']}"
        for key in ("source", "source_file", "source_path", "filename"):
            assert isinstance(result[key], str)
            assert "\\" not in result[key]

    @given(metadata=documents, extras=extra_documents)
    def test_the_result_can_be_written(self, metadata: dict[str, Any], extras: dict[str, Any]) -> None:
        _, result = enriched({**extras, "text": "words", "metadata": metadata})
        assert same(orjson.loads(orjson.dumps(result)), result)

    @given(metadata=documents, extras=extra_documents)
    def test_the_input_is_left_alone(self, metadata: dict[str, Any], extras: dict[str, Any]) -> None:
        value = {**extras, "text": "words", "metadata": metadata}
        before = deepcopy(value)
        enriched(value)
        assert same(value, before)

    @given(metadata=documents, extras=extra_documents)
    def test_reading_a_written_record_changes_nothing(
        self, metadata: dict[str, Any], extras: dict[str, Any]
    ) -> None:
        name, first = enriched({**extras, "text": "words", "metadata": metadata})
        first["token_count"] = 3
        record = {"id": name, "text": "words", "embedding": [0.5, 0.5], "metadata": first}
        # Another position and file: what the record says of itself wins.
        again, second = enriched(json.loads(json.dumps(record)), Context("eco", "docs", "eco_embeddings", 99))
        assert again == name
        assert same(second, first)


class TestDerived:
    @pytest.mark.parametrize(
        ("metadata", "extras", "index"),
        [
            ({"chunk_index": 3}, {}, 3),
            ({"chunk_index_in_file": 5}, {}, 5),
            ({}, {"index": 6}, 6),
            ({"chunk_index": "7"}, {}, 7),
            ({"chunk_index": True}, {}, 4),
            ({"chunk_index": -1}, {}, 4),
            ({"chunk_index": 1.0}, {}, 4),
            ({"chunk_index": "x"}, {"index": 2}, 2),
            ({"chunk_index": "²"}, {}, 4),
            ({"chunk_index": "٣"}, {}, 4),
            ({"chunk_index": "9" * 30}, {}, 4),
            ({"chunk_index": "9" * 5000}, {}, 4),
            ({"chunk_index": ""}, {}, 4),
            ({}, {}, 4),
        ],
    )
    def test_index(self, metadata: dict[str, Any], extras: dict[str, Any], index: int) -> None:
        name, result = enriched({"text": "a", "metadata": metadata, **extras})
        assert result["chunk_index"] == index
        assert name.endswith(f":chunk:{index}")

    @pytest.mark.parametrize(
        ("metadata", "filename", "source_path"),
        [
            ({"filename": "a.md"}, "a.md", "docs/a.md"),
            ({"file_name": "guides\\a.md"}, "a.md", "docs/a.md"),
            ({"source_file": "docs\\guides\\a.md"}, "a.md", "docs/guides/a.md"),
            ({"source_path": "guides/a.md", "source": "x/b.md"}, "a.md", "guides/a.md"),
            ({"source": "/home/someone/docs/guides/a.md"}, "a.md", "docs/guides/a.md"),
            ({"source_file": "D:/elsewhere/a.md"}, "a.md", "docs/a.md"),
            ({"source_file": "\\\\server\\share\\docs\\a.md"}, "a.md", "docs/a.md"),
            ({"source_file": "C:\\docs\\a.md", "file_relative_path": "b\\docs\\a.md"}, "a.md", "b/docs/a.md"),
            ({"filename": "dir/"}, "dir", "docs/dir"),
            ({"filename": "/"}, "page", "docs/page"),
            ({"filename": "  "}, "page", "docs/page"),
            ({"filename": 7, "source": None}, "page", "docs/page"),
            ({}, "page", "docs/page"),
        ],
    )
    def test_paths(self, metadata: dict[str, Any], filename: str, source_path: str) -> None:
        _, result = enriched({"text": "a", "metadata": metadata})
        assert (result["filename"], result["source_path"]) == (filename, source_path)

    def test_id_from_path(self) -> None:
        context = Context("eco", "docs", "page", 0, "path")
        name, result = enriched({"text": "a", "metadata": {"source_file": "docs\\guides\\a.md"}}, context)
        assert name == "eco:docs:guides/a.md:chunk:0"
        assert result["filename"] == "a.md"

    @pytest.mark.parametrize(
        ("item", "name", "text"),
        [
            ({"_id": "PLAIN-1", "title": "T", "text": "a"}, "PLAIN-1", "T a"),
            ({"_id": 7, "title": "T", "text": "a", "metadata": {}}, "7", "T a"),
            ({"_id": {"$oid": "64b0"}, "title": "T", "text": "a", "url": "u"}, "64b0", "a"),
            ({"_id": {"other": 1}, "text": "a"}, "eco:docs:page:chunk:4", "a"),
        ],
    )
    def test_titles_are_joined_in_beir_only_and_ids_are_ids(
        self, item: dict[str, Any], name: str, text: str
    ) -> None:
        parsed = parse_item(item)
        found, result = enrich(parsed, CONTEXT)
        assert (found, parsed.text) == (name, text)
        assert result.get("_id") == (item["_id"] if "other" in str(item["_id"]) else None)

    def test_beir_id_is_the_chunk_id(self) -> None:
        name, result = enriched({"_id": "PLAIN-1", "title": "T", "text": "a"})
        assert name == result["chunk_id"] == "PLAIN-1"


class TestClashes:
    def test_an_id_is_dropped_only_where_the_metadata_says_it_too(self) -> None:
        for value in (None, 7, "x"):
            assert same(enriched({"text": "a", "id": value, "metadata": {}})[1]["id"], value)
        assert "id" not in enriched({"text": "a", "id": "x", "metadata": {"chunk_id": "x"}})[1]

    def test_item_and_metadata_disagree(self) -> None:
        _, result = enriched({"text": "a", "index": 3, "metadata": {"index": 2}})
        assert (result["index"], result["original"]) == (2, {"item.index": 3})

    def test_item_and_metadata_agree(self) -> None:
        _, result = enriched({"text": "a", "index": 3, "metadata": {"index": 3}})
        assert (result["index"], "original" in result) == (3, False)

    @pytest.mark.parametrize(
        ("above", "below"), [(1, True), (1, 1.0), ([1], [True]), ({"a": 0}, {"a": False})]
    )
    def test_types_tell_values_apart(self, above: Any, below: Any) -> None:
        _, result = enriched({"text": "a", "page": above, "metadata": {"page": below}})
        assert same(result["page"], below)
        assert same(result["original"], {"item.page": above})

    def test_true_is_no_chunk_index_and_survives(self) -> None:
        context = Context("eco", "docs", "page", 1)
        _, result = enriched({"text": "a", "metadata": {"chunk_index": True}}, context)
        assert same(result["chunk_index"], 1)
        assert same(result["original"], {"chunk_index": True})

    def test_the_oldest_value_is_the_original(self) -> None:
        metadata = {"source": "second", "original": {"source": "first"}}
        assert complete(metadata, {"source": "third"})["original"] == {"source": "first"}

    def test_an_original_that_is_no_object_moves_down(self) -> None:
        result = complete({"original": "a word", "source": "x"}, {"source": "y"})
        assert result["original"] == {"original": "a word", "source": "x"}

    def test_an_original_that_is_no_object_stays_where_nothing_differs(self) -> None:
        assert complete({"original": "a word"}, {"source": "y"}) == {"original": "a word", "source": "y"}

    def test_token_count_of_another_tokenizer_is_kept(self) -> None:
        result = complete({"token_count": 275}, {"token_count": 301})
        assert result == {"token_count": 301, "original": {"token_count": 275}}

    def test_a_record_of_another_collection_is_read_under_the_new_name(self) -> None:
        name, first = enriched({"text": "a", "metadata": {}})
        record = {"id": name, "text": "a", "metadata": first}
        again, second = enriched(record, Context("other", "docs", "page", 4))
        assert again == "other:docs:page:chunk:4"
        assert second["original"] == {"chunk_id": name, "collection": "eco"}


class TestNesting:
    @pytest.mark.parametrize("depth", range(240, 260))
    def test_what_is_read_can_be_written(self, depth: int) -> None:
        nested: Any = 0
        for _ in range(depth):
            nested = [nested]
        try:
            name, metadata = enriched({"text": "a", "metadata": {"source": nested, "original": nested}})
        except BadItemError:
            return  # a finding
        orjson.dumps({"id": name, "metadata": metadata})
