"""Every way in which a chunk file can be broken: named with file and line or item, and the rest is read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from qembed.corpus import json_stream, read, read_chunks
from qembed.corpus.survey import Survey
from qembed.records import Chunk, Finding


@dataclass(frozen=True)
class Case:
    """A broken file.

    Attributes:
        name: The file's name.
        data: Its bytes.
        findings: Kind, item, line, what is lost, and words of the reason of each finding.
        kept: Texts that are read all the same.
    """

    name: str
    data: bytes
    findings: list[tuple[str, int | None, int | None, str, str]]
    kept: tuple[str, ...] = ()


def entry(text: Any, **metadata: Any) -> dict[str, Any]:
    return {"text": text, "metadata": metadata}


def pretty(*items: Any) -> str:
    """A list with every item on a line of its own; the first is on line 2."""
    return "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n"


def lines(*items: Any) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


GOOD = [entry("one"), entry("two"), entry("three")]
KEPT = ("one", "two", "three")
LATIN_1 = '{"text": "caf\xe9"}'.encode("latin-1")
BAD_ITEMS: list[tuple[str, Any, str, str]] = [
    ("no text", {"metadata": {}}, "no-text", "'metadata'"),
    ("number as text", entry(7), "text-not-a-string", "a number"),
    ("null as text", entry(None), "text-not-a-string", "null"),
    ("list as text", entry(["a"]), "text-not-a-string", "a list"),
    ("empty text", entry(""), "empty-text", "empty"),
    ("blank text", entry(" \n\t"), "empty-text", "white space"),
    ("lone surrogate", entry("a\ud83d"), "lone-surrogate", "U+D83D"),
    ("surrogate in metadata", entry("a", title="\udfff"), "bad-metadata", "surrogates"),
    ("surrogate in a key", entry("a", **{"\udfff": 1}), "bad-metadata", "surrogates"),
    ("surrogate in a beir id", {"_id": "\udfff", "text": "a"}, "bad-metadata", "surrogates"),
    ("metadata is a list", {"text": "a", "metadata": [1]}, "metadata-not-an-object", "a list"),
    ("string instead of object", "just text", "not-an-object", "a string"),
    ("null", None, "not-an-object", "null"),
    ("too long", entry("x" * 1_000_001), "too-long", "1,000,001"),
    (
        "nested beyond what can be written",
        entry("a", deep=json.loads("[" * 300 + "]" * 300)),
        "bad-metadata",
        "",
    ),
]

FILES = [
    Case(
        "cut.json",
        pretty(*GOOD).encode()[:-20],
        [("truncated-json", None, 4, "rest of file", "2 items")],
        KEPT[:2],
    ),
    Case("cut-early.json", b'[{"te', [("truncated-json", None, 1, "file", "nothing before it")]),
    Case(
        "cut-in-a-character.json",
        pretty(*GOOD, entry("café")).replace("\\u00e9", "é").encode().partition(b"\xa9")[0],
        [("truncated-json", None, 5, "rest of file", "3 items")],
        KEPT,
    ),
    Case(
        "open.json",
        pretty(*GOOD).encode()[:-3],
        [("truncated-json", None, 4, "rest of file", "3 items")],
        KEPT,
    ),
    Case(
        "cut-object.json",
        b'{"collection": "c",\n"chunks": ' + pretty(*GOOD).encode(),
        [("truncated-json", None, 7, "rest of file", "3 items")],
        KEPT,
    ),
    Case(
        "latin-1.json",
        b"[\n"
        + b",\n".join([b'{"text": "one"}', LATIN_1, b'{"text": "two"}', b'{"text": "three"}'])
        + b"\n]",
        [("wrong-encoding", 1, None, "chunk", "byte 0xE9")],
        KEPT,
    ),
    Case(
        "latin-1.jsonl",
        b'{"text": "one"}\n' + LATIN_1 + b'\n{"text": "two"}\n{"text": "three"}\n',
        [("wrong-encoding", None, 2, "chunk", "byte 0xE9")],
        KEPT,
    ),
    Case(
        "latin-1-outside.json",
        b'[{"text": "one"},\n\xe9{"text": "two"}]',
        [("wrong-encoding", None, 2, "rest of file", "byte 0xE9")],
        ("one",),
    ),
    Case("utf-16.json", pretty(*GOOD).encode("utf-16"), [("wrong-encoding", None, 1, "file", "UTF-8")]),
    Case("utf-16-be.json", "\ufeff[1]".encode("utf-16-be"), [("wrong-encoding", None, 1, "file", "UTF-8")]),
    Case(
        "utf-16-no-mark.json",
        pretty(*GOOD).encode("utf-16-le"),
        [("wrong-encoding", None, 1, "file", "0x00")],
    ),
    Case("utf-16.jsonl", lines(*GOOD).encode("utf-16"), [("wrong-encoding", None, 1, "file", "UTF-16")]),
    Case("binary.json", b"\x89PNG\r\n\x1a\n\0\0", [("wrong-encoding", None, 1, "file", "0x89")]),
    Case("mark.json", b"\xef\xbb\xbf" + pretty(*GOOD).encode(), [], KEPT),
    Case("mark.jsonl", b"\xef\xbb\xbf" + lines(*GOOD).encode(), [], KEPT),
    Case("empty.json", b"", [("empty-file", None, None, "file", "no bytes")]),
    Case("empty.jsonl", b"", [("empty-file", None, None, "file", "no bytes")]),
    Case("blank.json", b" \n\n", [("truncated-json", None, 3, "file", "")]),
    Case("string.json", b'"text"', [("not-a-list", None, None, "file", "a list of chunks")]),
    Case("null.json", b"null", [("not-a-list", None, None, "file", "a list of chunks")]),
    Case("object.json", b'{"words": "one"}', [("not-a-list", None, None, "file", "the keys are 'words'")]),
    Case("one-chunk.json", b'{"text": "one"}', [], KEPT[:1]),
    Case("empty-object.json", b"{}", [("not-a-list", None, None, "file", "a list 'chunks'")]),
    Case("chunks-not-a-list.json", b'{"chunks": {"0": 1}}', [("not-a-list", None, None, "file", "a list")]),
    Case("words.json", b"These are no chunks", [("invalid-json", None, 1, "file", "nothing before it")]),
    Case("python.json", str(GOOD).encode(), [("invalid-json", None, 1, "file", "double quotes")]),
    Case(
        "missing-comma.json",
        b'[{"text": "one"}\n{"text": "two"}]',
        [("invalid-json", None, 2, "rest of file", "expected , or ]")],
        ("one",),
    ),
    Case(
        "rubbish-after.json",
        pretty(*GOOD).encode() + b"]\n",
        [("invalid-json", None, 6, "rest of file", "3 items")],
        KEPT,
    ),
    Case(
        "two-lists.json",
        b'[{"text": "one"}]\n[{"text": "two"}]',
        [("invalid-json", None, 2, "rest of file", "name it .jsonl")],
        ("one",),
    ),
    Case("lines.json", lines(*GOOD).encode(), [], KEPT),
    Case(
        "two-lists.json",
        b'[{"text": "one"}]\n[]',
        [("invalid-json", None, 2, "rest of file", "name it .jsonl")],
        KEPT[:1],
    ),
    Case("list.jsonl", json.dumps(GOOD).encode(), [("not-an-object", None, 1, "chunk", "a list")]),
    Case(
        "broken-line.jsonl",
        b'{"text": "one"}\n{"text": oops}\n\n{"text": "two"}\n{"text"\n{"text": "three"}\n',
        [("invalid-json", None, 2, "chunk", "column 10"), ("invalid-json", None, 5, "chunk", "column 8")],
        KEPT,
    ),
    Case(
        "cut-line.jsonl",
        (lines(*GOOD) + '{"text": "fo').encode(),
        [("truncated-json", None, 4, "chunk", "unterminated string")],
        KEPT,
    ),
    Case(
        "count.json",
        json.dumps({"total_chunks": 5, "chunks": GOOD}).encode(),
        [("count-mismatch", None, None, "nothing", "total_chunks says 5, the list has 3")],
        KEPT,
    ),
    Case(
        "count-behind.json",
        json.dumps({"chunks": GOOD, "total_chunks": 2}).encode(),
        [("count-mismatch", None, None, "nothing", "total_chunks says 2, the list has 3")],
        KEPT,
    ),
    Case("no-chunks.json", b"[]", []),
    Case("deep.json", b"[" * 100_000, [("invalid-json", None, 1, "file", "nested too deeply")]),
    Case(
        "deep.jsonl",
        b"[" * 100_000 + b"\n" + lines(*GOOD).encode(),
        [("invalid-json", None, 1, "chunk", "deeply")],
        KEPT,
    ),
    Case(
        "constants.json",
        b'[{"text": "one", "metadata": {"a": NaN, "b": [Infinity, -Infinity]}}, {"text": "two"}]',
        [("changed-values", None, None, "nothing", "of 1 chunks, NaN and infinities are null")],
        KEPT[:2],
    ),
    Case(
        "constants.jsonl",
        b'{"text": "one", "metadata": {"a": NaN}}\n{"text": "two"}',
        [("changed-values", None, None, "nothing", "NaN")],
        KEPT[:2],
    ),
    Case(
        "twice.json",
        b'[{"text": "one", "a": {"b": 1, "b": 2}}]',
        [("duplicate-key", 0, None, "nothing", "'b' stands twice")],
        KEPT[:1],
    ),
    Case(
        "twice.jsonl",
        b'{"text": "no", "text": "one"}',
        [("duplicate-key", None, 1, "nothing", "'text' stands twice")],
        KEPT[:1],
    ),
    Case(
        "integers.json",
        b'[{"text": "one", "metadata": {"a": ' + b"9" * 5000 + b', "chunk_index": 1e999}}]',
        [("changed-values", None, None, "nothing", "numbers that no float holds are strings")],
        ("one",),
    ),
    Case(
        "integers.jsonl",
        b'{"text": "one", "metadata": {"chunk_index": ' + b"9" * 30 + b"}}",
        [("changed-values", None, None, "nothing", "integers beyond 64 bits are strings")],
        ("one",),
    ),
    *(
        case
        for words, item, kind, reason in BAD_ITEMS
        for case in (
            Case(
                f"{words}.json",
                pretty(GOOD[0], item, *GOOD[1:]).encode(),
                [(kind, 1, None, "chunk", reason)],
                KEPT,
            ),
            Case(
                f"{words}.jsonl",
                lines(GOOD[0], item, *GOOD[1:]).encode(),
                [(kind, None, 2, "chunk", reason)],
                KEPT,
            ),
        )
    ),
]
each_file = pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)


def gather(root: Path) -> tuple[list[Chunk], list[Finding]]:
    findings: list[Finding] = []
    return list(read_chunks(root, on_finding=findings.append)), findings


@pytest.fixture
def eco(tmp_path: Path, write_chunks: Callable[..., Path]) -> Path:
    """A collection with a sound file before and behind the place for a broken one."""
    return write_chunks(tmp_path / "eco", {"docs/aa": ["before"], "docs/zz": ["behind"], "more/a": ["more"]})


@pytest.fixture(params=["fast", "streamed", "tiny-window"])
def path_through(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole-document reader, the streaming one, and the latter with windows of 7 characters."""
    if request.param != "fast":
        monkeypatch.setattr(read, "FAST_PATH_BYTES", 0)
    if request.param == "tiny-window":
        monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", 7)


@each_file
@pytest.mark.usefixtures("path_through")
def test_broken_file(eco: Path, case: Case) -> None:
    path = eco / "docs" / case.name
    path.write_bytes(case.data)
    chunks, findings = gather(eco)
    texts = [chunk.text for chunk in chunks]
    assert texts == ["before", *case.kept, "behind", "more"]
    found = [(f.kind, f.place.item, f.place.line, f.lost) for f in findings]
    assert found == [expected[:4] for expected in case.findings]
    for finding, (*_, words) in zip(findings, case.findings, strict=True):
        assert finding.place.path == f"docs/{case.name}"
        assert words in finding.reason
        assert case.name in str(finding)
        assert "line 1 column" not in finding.reason, "the parser's own place would contradict the finding's"
    survey = Survey()
    for chunk in chunks:
        survey.add(chunk)  # what was read can be written and fingerprinted
        orjson.dumps({"id": chunk.id, "metadata": chunk.metadata})


def test_positions_count_what_was_skipped(eco: Path) -> None:
    (eco / "docs" / "b.jsonl").write_text('{"text": "a"}\noops\n{"text": 1}\n{"text": "d"}\n')
    (eco / "docs" / "c.json").write_text('[{"text": "a"}, {"text": 1}, {"text": "d"}]')
    chunks, _ = gather(eco)
    indices = {chunk.id.split(":", 2)[2] for chunk in chunks if chunk.place.path[5] in "bc"}
    assert indices == {"b:chunk:0", "b:chunk:3", "c:chunk:0", "c:chunk:2"}


@pytest.mark.parametrize("name", ["big.json", "big.jsonl"])
def test_50_megabytes_in_one_chunk(eco: Path, name: str) -> None:
    items = [json.dumps(entry("one")), json.dumps(entry("x" * 50_000_000)), json.dumps(entry("two"))]
    document = "\n".join(items) if name.endswith("l") else f"[{','.join(items)}]"
    (eco / "docs" / name).write_text(document)
    chunks, (finding,) = gather(eco)
    assert [chunk.text for chunk in chunks] == ["before", "one", "two", "behind", "more"]
    assert (finding.kind, finding.lost) == ("too-long", "chunk")
    assert (finding.place.item, finding.place.line) == ((None, 2) if name.endswith("l") else (1, None))
    assert "50,000,000 characters" in finding.reason


def test_a_line_beyond_every_measure_is_skipped_unread(eco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_LINE_BYTES", 100)
    (eco / "docs" / "b.jsonl").write_text(
        lines(entry("one"), entry("x" * 1000), entry("two"), entry("y" * 200))
    )
    chunks, findings = gather(eco)
    assert [chunk.text for chunk in chunks] == ["before", "one", "two", "behind", "more"]
    assert [(f.kind, f.place.line) for f in findings] == [("too-long", 2), ("too-long", 4)]


@pytest.mark.parametrize("length", [99, 100, 101])
def test_a_line_of_just_the_limit(eco: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(read, "MAX_LINE_BYTES", 100)
    text = "x" * (length - len('{"text": ""}') - 1)  # the line's end counts
    (eco / "docs" / "b.jsonl").write_text(f'{{"text": "{text}"}}\n{{"text": "next"}}\n')
    chunks, findings = gather(eco)
    assert [f.kind for f in findings] == (["too-long"] if length > 100 else [])
    assert chunks[-3].text == "next"


class TestFileSystem:
    def test_unreadable_file(self, eco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path) -> bytes:
            if self.name == "aa_chunks.json":
                raise PermissionError(13, "Permission denied", str(self))
            return original(self)

        original = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", refuse)
        chunks, findings = gather(eco)
        assert [chunk.text for chunk in chunks] == ["behind", "more"]
        assert [str(finding) for finding in findings] == [
            "docs/aa_chunks.json: unreadable-file: Permission denied"
        ]
        assert findings[0].lost == "file"

    def test_reading_fails_halfway(self, eco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: json_stream.JsonStream) -> Any:
            raise OSError(5, "Input/output error")

        (eco / "docs" / "b.json").write_text("[oops]")
        monkeypatch.setattr(json_stream.JsonStream, "value", fail)
        _, (finding,) = gather(eco)
        assert (finding.kind, finding.reason) == ("unreadable-file", "Input/output error")

    def test_unreadable_folder(self, eco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Any) -> Any:
            if str(path).endswith("docs"):
                raise PermissionError(13, "Permission denied", str(path))
            return original(path)

        original = os.scandir
        monkeypatch.setattr(os, "scandir", refuse)
        chunks, (finding,) = gather(eco)
        assert [chunk.text for chunk in chunks] == ["more"]
        assert str(finding) == "docs: unreadable-folder: Permission denied"
        assert finding.lost == "folder"

    def test_a_folder_named_like_a_file(self, eco: Path, write_chunks: Callable[..., Path]) -> None:
        write_chunks(eco / "docs" / "folder.json", {"a": ["within"]})
        (eco / "docs" / "empty.jsonl").mkdir()
        chunks, findings = gather(eco)
        assert [chunk.text for chunk in chunks] == ["before", "behind", "within", "more"]
        assert findings == []

    def test_links_that_go_in_circles(self, eco: Path) -> None:
        (eco / "docs" / "again").symlink_to(eco)
        (eco / "docs" / "self").symlink_to("self")
        (eco / "more" / "up").symlink_to(eco / "docs")
        chunks, findings = gather(eco)
        assert [chunk.text for chunk in chunks] == ["before", "behind", "more"]
        assert [(found.kind, found.place.path) for found in findings] == [("not-read", "docs/self")]

    def test_links_that_lead_nowhere(self, eco: Path) -> None:
        (eco / "docs" / "b.json").symlink_to("b.json")
        (eco / "docs" / "c.json").symlink_to("gone.json")
        chunks, findings = gather(eco)
        assert [chunk.text for chunk in chunks] == ["before", "behind", "more"]
        assert [(f.kind, f.place.path) for f in findings] == [
            ("unreadable-file", "docs/b.json"),
            ("unreadable-file", "docs/c.json"),
        ]

    def test_a_linked_folder_is_read_once(self, eco: Path) -> None:
        (eco / "zz-link").symlink_to(eco / "docs")
        assert len(gather(eco)[0]) == 3

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
    def test_names_that_are_not_utf8(self, eco: Path) -> None:
        folder = os.fsencode(eco) + b"/caf\xe9"
        os.mkdir(folder)  # noqa: PTH102  # pathlib takes no bytes
        Path(os.fsdecode(folder + b"/na\xefve_chunks.json")).write_text('[{"text": "a"}, oops]')
        chunks, (finding,) = gather(eco)
        (chunk,) = [chunk for chunk in chunks if chunk.text == "a"]
        assert chunk.id == "eco:caf\\xe9:na\\xefve:chunk:0"
        assert finding.place.path == "caf\\xe9/na\\xefve_chunks.json"
        orjson.dumps(chunk.metadata)
