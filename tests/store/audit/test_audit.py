"""The streaming core of the audit: what is kept, what is looked up again, how memory stays bounded."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qembed.errors import QembedError
from qembed.store import ChunksFingerprint, Embeddings, OutputFile, find_embeddings, record_line
from qembed.store.audit import audit
from qembed.store.audit.audit import Columns, Lookup, scan, shown, vector_norm
from qembed.store.audit.checks import clashes, cosine, most_common
from qembed.store.audit.findings import CHECKS, KINDS, Findings
from qembed.store.jsonl import BadLine, Record, parse_line

REPOSITORY = Path(__file__).parents[3]


def bytes_per_record() -> int:
    return sum(getattr(Columns(), name).itemsize for name in Columns.__slots__)


def test_docstrings_state_the_true_memory() -> None:
    assert bytes_per_record() == 44
    assert "44 bytes per record" in str(audit.__doc__)


def test_a_scan_places_and_hashes_every_record(tmp_path: Path) -> None:
    lines = [
        record_line("a", "eins", np.float32([3, 4]), {}),
        b"\n",
        b"no json\r\n",
        record_line("b", "zwei", np.float32([0, 1]), {}).replace(b"\n", b"\r\n"),
        record_line("c", " ", np.float32([0, 0]), {}).rstrip(),
    ]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(lines))
    findings = Findings(manifest=False, examples=None)
    seen = scan(find_embeddings(path), findings)
    assert seen.columns.line.tolist() == [1, 4, 5]
    assert seen.columns.offset.tolist() == [0, sum(map(len, lines[:3])), sum(map(len, lines[:4]))]
    assert seen.columns.norm.tolist() == [5, 1, 0]
    assert seen.columns.dimension.tolist() == [2, 2, 2]
    assert [value == audit.NOTHING for value in seen.columns.text] == [False, False, True]
    assert [value == audit.NOTHING for value in seen.columns.vector] == [False, False, True]
    assert (seen.bad_lines, seen.bytes) == (1, path.stat().st_size)
    assert seen.files == (OutputFile("x.jsonl", seen.bytes, sha256(path.read_bytes()).hexdigest(), 3),)
    fingerprint = ChunksFingerprint()
    for name, text in (("a", "eins"), ("b", "zwei"), ("c", " ")):
        fingerprint.add(name, text)
    assert seen.chunks_fingerprint == fingerprint.hexdigest()
    lookup = Lookup(seen)
    assert [lookup(at).id for at in (2, 0, 1)] == ["c", "a", "b"]


def test_a_line_without_end_is_skipped_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_LINE_BYTES", 100)
    record = record_line("a", "t", np.float32([1]), {})
    path = tmp_path / "x.jsonl"
    path.write_bytes(record + b"[" * 250 + b"\n" + record + b"x" * 99 + b"\n" + b"y" * 300)
    findings = Findings(manifest=False, examples=None)
    seen = scan(find_embeddings(path), findings)
    assert seen.columns.line.tolist() == [1, 3]
    assert seen.columns.offset.tolist() == [0, len(record) + 251]
    assert seen.files[0].sha256 == sha256(path.read_bytes()).hexdigest()
    assert findings.counts == {"line-too-long": 2, "not-json": 1, "missing-metadata": 2}
    assert [finding.lines for finding in findings.examples()] == [(4,), (2,), (5,), (1,), (3,)]


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(record_line("a", "t", np.float32([1]), {}))
    seen = scan(find_embeddings(path), Findings(manifest=False, examples=None))
    path.write_bytes(b"?" * 100)
    with pytest.raises(QembedError, match="changed while it was read") as caught:
        Lookup(seen)(0)
    assert caught.value.where == f"{path}, line 1"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QembedError, match="cannot read"):
        scan(Embeddings("jsonl", (tmp_path,)), Findings(manifest=False, examples=None))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_pythons_json_writes_is_read_as_a_record_that_is_not_finite(token: str) -> None:
    line = f'{{"id": "x", "text": "t", "embedding": [1.0, {token}]}}\n'.encode()
    parsed = parse_line(line, 3)
    assert isinstance(parsed, Record)
    assert (parsed.line, parsed.id, math.isnan(vector_norm(parsed.vector))) == (3, "x", True)


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_last_line_is_cut_off_wherever_it_ends(cut: int) -> None:
    whole = '{"id":"é中","text":"\\u00e9","embedding":[1.5,3],"metadata":{"a":{}}}'.encode()
    parsed = parse_line(whole[: len(whole) - cut], 1)
    assert isinstance(parsed, BadLine)
    assert parsed.kind == "cut-off"


def test_a_broken_last_line_is_not_taken_for_a_cut_one() -> None:
    for line in (b'{"id": x}', b'{"id": "\xff"}'):
        parsed = parse_line(line, 1)
        assert isinstance(parsed, BadLine)
        assert parsed.kind == "not-json"


@example([1e-20, 1e-20])
@example([1e-22])
@example([3e38, 3e38])
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_norms_neither_overflow_nor_vanish(numbers: list[float]) -> None:
    with np.errstate(all="ignore"):
        norm = vector_norm(np.array(numbers, dtype=np.float32))
    assert norm == pytest.approx(math.hypot(*numbers), rel=1e-4, abs=1e-44)
    assert (norm == 0) == (not any(numbers))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30))
def test_clashes_agree_with_a_dictionary(pairs: list[tuple[int, int]]) -> None:
    firsts: dict[int, dict[int, int]] = defaultdict(dict)
    for at, (key, other) in enumerate(pairs):
        if key and other:
            firsts[key].setdefault(other, at)
    expected = [sorted(others.values()) for others in firsts.values() if len(others) > 1]
    key, other = (np.array([pair[side] for pair in pairs], dtype=np.uint64) for side in (0, 1))
    assert [group.tolist() for group in clashes(key, other)] == sorted(expected)


@pytest.mark.parametrize(
    ("dimensions", "expected"), [([], None), ([5], 5), ([3, 9, 9], 9), ([9, 3, 3, 9], 9), ([3, 9], 3)]
)
def test_most_common_dimension(dimensions: list[int], expected: int | None) -> None:
    assert most_common(np.array(dimensions, dtype=np.uint32)) == expected


def test_cosine_of_huge_vectors() -> None:
    a = np.array([1e30, 0], dtype=np.float32)
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, a[::-1].copy()) == 0


@pytest.mark.parametrize("text", ["x" * 60, "x" * 61, "\x1b[2J", "it's", "\ud800"])
def test_shown_is_short_and_printable(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 66
    assert shown(text).startswith(('"', "'"))


def test_findings_keep_examples_and_count_all() -> None:
    findings = Findings(manifest=False, examples=2)
    made = []
    for line in range(5):
        findings.add("no-text", lambda line=line: made.append(line) or "reason", line)  # type: ignore[misc]
    findings.add("duplicate-id", "reason", 1, 2)
    assert (findings.total("error"), findings.total("warning"), findings.total("error", "ids")) == (1, 5, 1)
    assert [(finding.kind, finding.lines) for finding in findings.examples()] == [
        ("duplicate-id", (1, 2)),
        ("no-text", (0,)),
        ("no-text", (1,)),
    ]
    assert made == [0, 1]
    assert Findings(manifest=True, examples=0).severity("no-text") == "error"


def test_kinds_stand_in_the_order_of_the_checks() -> None:
    checks = [kind.check for kind in KINDS.values()]
    assert list(dict.fromkeys(checks)) == list(CHECKS)
    assert checks == sorted(checks, key=list(CHECKS).index)


PEAK = """
import sys
from pathlib import Path
from qembed.store import find_embeddings
from qembed.store.audit.audit import scan
from qembed.store.audit.findings import Findings
seen = scan(find_embeddings(Path(sys.argv[1])), Findings(manifest=True, examples=20))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(seen.columns), peak.split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """60 MB take no more than 6 MB do, but for 44 bytes per record and the arrays' spare room."""
    peaks = {}
    numbers = np.random.default_rng(0).standard_normal((1_500, 384)).astype(np.float32)
    block = b"".join(record_line("a", "text " * 100, vector, {}) for vector in numbers)
    for blocks in (1, 8):
        path = tmp_path / f"{blocks}.jsonl"
        path.write_bytes(block * blocks)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(REPOSITORY)},
        )
        records, peaks[blocks] = map(int, done.stdout.split())
        assert records == len(numbers) * blocks
    assert path.stat().st_size > 55e6
    assert (peaks[8] - peaks[1]) * 1024 < 4e6


def test_json_of_another_writer_reads_the_same(tmp_path: Path) -> None:
    vector = np.random.default_rng(1).standard_normal(16).astype(np.float32)
    ours = parse_line(record_line("é", "t", vector, {"k": 1}), 1)
    theirs = parse_line(
        json.dumps({"id": "é", "text": "t", "embedding": vector.tolist(), "metadata": {"k": 1}}).encode(), 1
    )
    assert isinstance(ours, Record)
    assert isinstance(theirs, Record)
    assert ours.vector.tobytes() == theirs.vector.tobytes() == vector.tobytes()
    assert (ours.id, ours.text, ours.metadata) == (theirs.id, theirs.text, theirs.metadata)


def test_lines_count_on_through_shards(tmp_path: Path) -> None:
    """Blank lines too, or the number would not be that of the line in its file."""
    first, second = (tmp_path / f"c_embeddings-0000{at}-of-00002.jsonl" for at in (1, 2))
    lines = [record_line(name, name, np.float32([1]), {}) for name in "ab"]
    first.write_bytes(lines[0] + b"\n\n")
    second.write_bytes(b"?\n" + lines[1])
    findings = Findings(manifest=False, examples=None)
    seen = scan(find_embeddings(tmp_path), findings)
    assert seen.columns.line.tolist() == [1, 5]
    assert seen.before == (0, 3)
    assert [finding.lines for finding in findings.examples() if finding.kind == "not-json"] == [(4,)]
    assert [file.records for file in seen.files] == [1, 1]
    assert [audit.place_of(line, seen.before) for line in (1, 3, 4, 5)] == [(0, 1), (0, 3), (1, 1), (1, 2)]
    assert Lookup(seen)(1).id == "b"
