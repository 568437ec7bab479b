"""``JsonStream`` against ``json.loads`` and orjson: any document, any block size, any place to break off."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qembed.corpus import json_stream, read
from qembed.corpus.exact_json import Digits, loads
from qembed.corpus.json_stream import JsonBreakError, JsonStream
from qembed.corpus.read import FileReader
from qembed.corpus.walk import ChunkFile
from qembed.records import Finding

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
keys = st.text(st.characters(codec="utf-8"), max_size=6)
objects = st.dictionaries(keys, values, max_size=4)
blocks = st.integers(1, 16)
white = st.text(" \t\r\n", max_size=3)


@contextmanager
def block_of(characters: int) -> Iterator[None]:
    """Small windows, so that every value lies across their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "BLOCK_CHARACTERS", characters)
        yield


def stream_of(document: str) -> JsonStream:
    return JsonStream(io.StringIO(document))


def dumped(value: Any, pads: list[str], *, ascii_only: bool) -> str:
    """JSON with any white space between its parts."""
    pad = iter(pads * 50)
    if isinstance(value, list):
        inner = ",".join(
            next(pad, "") + dumped(v, pads, ascii_only=ascii_only) + next(pad, "") for v in value
        )
        return f"[{next(pad, '')}{inner}]"
    if isinstance(value, dict):
        parts = (
            f"{next(pad, '')}{json.dumps(key, ensure_ascii=ascii_only)}{next(pad, '')}:{next(pad, '')}"
            f"{dumped(val, pads, ascii_only=ascii_only)}{next(pad, '')}"
            for key, val in value.items()
        )
        return f"{{{','.join(parts)}}}"
    return json.dumps(value, ensure_ascii=ascii_only)


def canonical(value: Any) -> bytes:
    """JSON in one spelling; 1, 1.0 and true stay three values."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def file_items(path: Path) -> tuple[list[Any], list[Finding], dict[str, Any]]:
    findings: list[Finding] = []
    reader = FileReader(ChunkFile(path, path.name, "docs"), findings.append)
    return [item.value for item in reader.items()], findings, reader.header


class TestAnyDocument:
    @given(st.lists(objects, max_size=5), blocks, st.lists(white, min_size=1, max_size=4), st.booleans())
    def test_a_list_gives_what_json_gives(
        self, items: list[Any], block: int, pads: list[str], ascii_only: bool
    ) -> None:
        document = pads[0] + dumped(items, pads, ascii_only=ascii_only) + pads[-1]
        assert canonical(json.loads(document)) == canonical(items)
        with block_of(block):
            stream = stream_of(document)
            assert canonical(list(stream.items())) == canonical(items)
            assert stream.peek() == ""
            assert stream.line == 1 + document.count("\n")

    @given(values, blocks)
    @example(1.5, 1)
    @example(-1e-07, 1)
    @example(12345678901234567890, 3)
    def test_one_value_gives_what_json_gives(self, value: Any, block: int) -> None:
        with block_of(block):
            stream = stream_of(json.dumps(value))
            assert canonical(stream.value()) == canonical(value)
            assert stream.peek() == ""

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63)), blocks)
    def test_numbers_that_lie_across_windows(self, numbers: list[Any], block: int) -> None:
        with block_of(block):
            assert canonical(list(stream_of(json.dumps(numbers)).items())) == canonical(numbers)

    @given(objects, st.lists(objects, max_size=3), objects, blocks, st.booleans())
    def test_fast_and_slow_path_agree(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        before: dict[str, Any],
        items: list[Any],
        after: dict[str, Any],
        block: int,
        as_list: bool,
    ) -> None:
        document: Any = items if as_list else {**before, "chunks": items, **after}
        if not as_list:
            document["chunks"] = items
        path = tmp_path_factory.mktemp("agree") / "a.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        fast = file_items(path)
        with block_of(block), pytest.MonkeyPatch.context() as patch:
            patch.setattr(read, "FAST_PATH_BYTES", 0)
            slow = file_items(path)
        assert canonical(fast[0]) == canonical(slow[0]) == canonical(items)
        assert canonical(fast[2]) == canonical(slow[2])
        assert fast[1] == slow[1]


class TestAnyBreak:
    @given(st.lists(objects, min_size=1, max_size=4), blocks, st.data())
    def test_a_prefix_and_one_finding(
        self, tmp_path_factory: pytest.TempPathFactory, items: list[Any], block: int, data: st.DataObject
    ) -> None:
        document = json.dumps(items, indent=data.draw(st.none() | st.integers(0, 2)), ensure_ascii=False)
        encoded = document.encode()
        cut = data.draw(st.integers(1, len(encoded) - 1))
        path = tmp_path_factory.mktemp("cut") / "a.json"
        path.write_bytes(encoded[:cut])
        with block_of(block):
            kept, findings, _ = file_items(path)
        assert canonical(kept) == canonical(items[: len(kept)])
        assert len(kept) >= len(complete_items(items, document, cut))
        (finding,) = findings
        text = encoded[:cut].decode(errors="replace")
        assert 1 + text.rstrip().count("\n") <= (finding.place.line or 0) <= 1 + text.count("\n")
        assert finding.kind == "truncated-json" or text[-1] in ".eE+-"
        assert finding.lost == ("rest of file" if kept else "file")
        assert finding.place.path == "a.json"

    @given(
        st.lists(objects, max_size=3),
        blocks,
        st.sampled_from(["x", "}", "]", "\0", ":", '"', "é", ",", "{}"]),
    )
    def test_rubbish_after_the_items(self, items: list[Any], block: int, rubbish: str) -> None:
        document = json.dumps(items, indent=1)
        with block_of(block):
            stream = stream_of(document + "\n" + rubbish)
            assert canonical(list(stream.items())) == canonical(items)
            assert stream.peek() == rubbish[0]
            assert stream.line == 2 + document.count("\n")

    @given(st.lists(objects, min_size=1, max_size=3), blocks)
    def test_rubbish_instead_of_an_item(self, items: list[Any], block: int) -> None:
        document = json.dumps(items, indent=1)[:-1] + ",\noops, and more]"
        kept: list[Any] = []
        with block_of(block), pytest.raises(JsonBreakError) as caught:
            kept.extend(stream_of(document).items())
        assert (caught.value.kind, caught.value.line) == ("invalid-json", 1 + document.count("\n"))

    @pytest.mark.parametrize("block", [1, 7, 1 << 20])
    @pytest.mark.parametrize(
        ("document", "kind", "line"),
        [
            ("", "truncated-json", 1),
            ("\n\n[", "truncated-json", 3),
            ("[1,\n2", "truncated-json", 2),
            ('[{"a": "\\u12', "truncated-json", 1),
            ('[{"a": tr', "truncated-json", 1),
            ('[{"a": "\\', "truncated-json", 1),
            ("{}", "invalid-json", 1),
            ("[1 2]", "invalid-json", 1),
            ("[1,]", "invalid-json", 1),
            ("[\n1,\n{'a': 1}]", "invalid-json", 3),
            ('["a\tb"]', "invalid-json", 1),
            ("[truth]", "invalid-json", 1),
            ("[\n\0", "wrong-encoding", 2),
            ("[1,\n\udce9]", "wrong-encoding", 2),
        ],
    )
    def test_kinds_and_lines(self, document: str, kind: str, line: int, block: int) -> None:
        with block_of(block), pytest.raises(JsonBreakError) as caught:
            list(stream_of(document).items())
        assert (caught.value.kind, caught.value.line) == (kind, line)


class TestLimits:
    def test_nesting_without_end(self) -> None:
        with pytest.raises(JsonBreakError, match="nested too deeply") as caught:
            list(stream_of("[\n" + "[" * 100_000).items())
        assert (caught.value.kind, caught.value.line) == ("invalid-json", 2)

    def test_an_item_without_end_is_not_read_into_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", 64)
        monkeypatch.setattr(json_stream, "MAX_ITEM_CHARACTERS", 1000)

        class Endless(io.StringIO):
            taken = 0

            def read(self, size: int | None = -1) -> str:
                assert size is not None
                assert size > 0
                Endless.taken += size
                return "x" * size

        source = Endless()
        stream = JsonStream(source)
        stream._buffer = '"'
        with pytest.raises(JsonBreakError) as caught:
            stream.value()
        assert caught.value.kind == "too-long"
        assert Endless.taken < 4000

    def test_items_are_given_before_the_rest_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", 100)
        source = io.StringIO(json.dumps([{"text": "x" * 50}] * 1000))
        first = next(JsonStream(source).items())
        assert first == {"text": "x" * 50}
        assert source.tell() <= 300

    def test_the_window_does_not_grow_with_the_document(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", 100)
        stream = stream_of(json.dumps([{"text": "x" * 50}] * 1000))
        assert max(len(stream._buffer) for _ in stream.items()) <= 300


class TestNumbersAndConstants:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("-Infinity", -math.inf),
            ("18446744073709551615", 2**64 - 1),
            ("18446744073709551616", 2**64),
            ("-9223372036854775808", -(2**63)),
            ("-9223372036854775809", -(2**63) - 1),
            ("9" * 30, 10**30 - 1),
            ("9" * 5000, Digits("9" * 5000)),
            ("1e400", Digits("1e400")),
            ('"\\ud800"', "\ud800"),
        ],
    )
    def test_what_strict_readers_refuse(self, text: str, value: Any) -> None:
        for found in (loads(text), stream_of(text).value()):
            assert found == value
            assert type(found) is type(value)


def complete_items(items: list[Any], document: str, cut: int) -> list[Any]:
    """The items that lie before the cut whole, found by brute force."""
    encoded = document.encode()
    for count in range(len(items), 0, -1):
        for end in range(1, cut + 1):
            try:
                if json.loads(encoded[:end].decode(errors="strict").rstrip() + "]") == items[:count]:
                    return items[:count]
            except ValueError:
                continue
    return []
