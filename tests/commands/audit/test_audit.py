"""``audit``: what it promises of any file, whatever is in it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import qembed
from qembed.errors import InputNotFound, QembedError
from qembed.progress import Progress
from qembed.records import REQUIRED_METADATA
from qembed.store import (
    FORMATS,
    ChunksFingerprint,
    Format,
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    open_writer,
    record_line,
    write_json,
)
from qembed.store.audit.findings import CHECKS, KINDS
from qembed.store.audit.report import EXAMPLES, AuditReport, audit

TEXTS = ("Ein Text.", "Noch einer: é中.", "x", "Ein Text.")
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def lines() -> list[bytes]:
    """Four sound records; the first and the last share text and vector."""
    made = []
    for number, text in enumerate(TEXTS):
        vector = np.random.default_rng(len(text)).standard_normal(4)
        metadata: dict[str, Any] = dict.fromkeys(REQUIRED_METADATA, "demo")
        metadata |= {"content_sha256": sha256(text.encode()).hexdigest(), "chunk_index": number}
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        made.append(record_line(f"demo:a:b:chunk:{number}", text, vector, metadata))
    return made


def write(folder: Path, content: bytes, *, manifest: bool = True) -> Path:
    """``content`` beside the manifest and summary of the sound file."""
    files = OutputFiles.in_folder(folder, "demo")
    files.embeddings.write_bytes(content)
    if manifest and not files.manifest.exists():
        good, fingerprint = b"".join(lines()), ChunksFingerprint()
        for number, text in enumerate(TEXTS):
            fingerprint.add(f"demo:a:b:chunk:{number}", text)
        digest = sha256(good).hexdigest()
        output = Output(files.embeddings.name, len(good), digest, fingerprint.hexdigest(), 4, 4)
        model = {"id": "demo/model", "normalized": True, "max_tokens": 256}
        write_json(files.manifest, Manifest("demo", "", Inputs("", "", 4, 3), output, {}, model, {}))
        write_json(files.summary, {"total_embeddings": 4, "vector_dimension": 4})
    return files.embeddings


def consistent(report: AuditReport) -> bool:
    """Sums and lists of a report agree with one another."""
    assert [check.name for check in report.checks] == list(CHECKS)
    assert sum(report.counts.values()) == report.errors + report.warnings
    assert set(report.counts) == {finding.kind for finding in report.findings} <= set(KINDS)
    for kind, count in report.counts.items():
        assert sum(finding.kind == kind for finding in report.findings) == min(count, EXAMPLES)
    assert all(line >= 1 for finding in report.findings for line in finding.lines)
    assert report.sound() == (report.errors == 0)
    return True


def test_a_sound_file(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(lines()))
    report = qembed.audit(tmp_path)
    assert report.sound(strict=True)
    assert consistent(report)
    assert (report.file, report.bytes, report.records, report.bad_lines) == (path, path.stat().st_size, 4, 0)
    assert report.sha256 == sha256(path.read_bytes()).hexdigest()
    assert report.manifest is not None
    assert report.manifest.collection == "demo"
    assert report.summary == OutputFiles.of(path).summary
    assert report.seconds > 0


@same_folder
@given(st.data())
def test_any_flipped_byte_is_found(tmp_path: Path, data: st.DataObject) -> None:
    good = bytearray(b"".join(lines()))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    report = audit(write(tmp_path, bytes(good)))
    assert consistent(report)
    assert not report.sound()
    assert report.counts["sha256-not-as-recorded"] == 1


@same_folder
@given(st.sampled_from(range(4)), st.integers(0, 10_000), st.sampled_from([0, 1, 2, 3, 4, 6, 7]))
def test_a_flipped_bit_of_id_text_or_hash_is_found_by_more_than_the_sha256(
    tmp_path: Path, record: int, place: int, bit: int
) -> None:
    """All bits but the one between a and A: a hash may be written in either."""
    made = lines()
    line = bytearray(made[record])
    in_vector = range(line.index(b'"embedding":['), line.index(b"]"))
    in_metadata = range(line.index(b'"metadata"'), line.index(b'"content_sha256":"') + 18)
    after_hash = range(line.index(b'"content_sha256":"') + 18 + 64, len(line))
    places = [at for at in range(len(line)) if not any(at in r for r in (in_vector, in_metadata, after_hash))]
    line[places[place % len(places)]] ^= 1 << bit
    report = audit(write(tmp_path, b"".join([*made[:record], bytes(line), *made[record + 1 :]])))
    assert len(report.counts) > 1


_NUMBERS = st.one_of(
    st.floats(), st.integers(), st.none(), st.booleans(), st.text(max_size=2), st.lists(st.none())
)
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.text(max_size=3), st.integers(-(2**63), 2**64 - 1), st.none()),
        "vector": st.one_of(
            st.lists(_NUMBERS, max_size=3), st.lists(st.floats(width=32), max_size=3), st.text()
        ),
        "text": st.one_of(st.sampled_from(TEXTS), st.text(max_size=3), st.none(), st.integers()),
        "metadata": st.one_of(st.none(), st.dictionaries(st.sampled_from(REQUIRED_METADATA), st.text())),
    },
)


@same_folder
@example(
    [b"\xef\xbb\xbf{}", b'{"id":1,"vector":[NaN],"text":"\\ud800"}', b'{"id":"\\ud800","vector":[NaN]}'], True
)
@example([b'{"id":1,"vector":[' + b"9" * 5000 + b"]}", b'{"id":1,"vector":[NaN,' + b"9" * 400 + b"]}"], False)
@given(
    st.lists(
        st.one_of(st.binary(max_size=20), _VALUES.map(lambda value: json.dumps(value).encode())),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_file_brings_it_down(tmp_path: Path, content: list[bytes], manifest: bool) -> None:
    folder = tmp_path / str(manifest)
    folder.mkdir(exist_ok=True)
    assert consistent(audit(write(folder, b"\n".join(content), manifest=manifest)))


def test_what_the_caller_expects_comes_first(tmp_path: Path) -> None:
    write(tmp_path, b"".join(lines()))
    report = audit(tmp_path, dimension=5)
    assert report.counts == {"dimension-differs": 4}
    assert report.dimension == 4
    report = audit(tmp_path, expect_normalized=False)
    assert (report.sound(), report.normalized) == (True, False)
    note = next(check.note for check in report.checks if check.name == "norms")
    assert note == "not normalised, as --not-normalized says"


def test_the_summary_alone_says_the_dimension(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(lines()))
    OutputFiles.of(path).manifest.unlink()
    write_json(OutputFiles.of(path).summary, {"total_embeddings": 4, "vector_dimension": 5})
    report = audit(tmp_path)
    assert report.counts == {"dimension-differs": 4, "dimension-not-as-recorded": 1}
    assert report.findings[0].reason == "4 dimensions, the summary says 5"
    assert report.manifest is None


def test_examples_can_be_many_or_none(tmp_path: Path) -> None:
    path = write(tmp_path, b"?\n" * 30, manifest=False)
    assert [len(audit(path, examples=number).findings) for number in (0, 3, None)] == [0, 3, 30]
    assert audit(path, examples=0).counts == {"not-json": 30}


def test_a_text_with_many_vectors_is_one_finding(tmp_path: Path) -> None:
    made = lines()
    others = [
        orjson.loads(made[0]) | {"id": f"other {at}", "embedding": np.roll([0, 0, 0, 1], at).tolist()}
        for at in range(4)
    ]
    content = b"".join([*made[:3], *(orjson.dumps(other) + b"\n" for other in others)])
    report = audit(write(tmp_path, content, manifest=False))
    assert report.counts == {"text-with-two-vectors": 1}
    assert report.findings[0].lines == (1, 4, 5, 6, 7)


def test_progress_is_told_and_closed(tmp_path: Path) -> None:
    class Heard(Progress):
        def __init__(self) -> None:
            self.phases: list[tuple[str, int | None, str]] = []
            self.advanced = self.closed = 0

        def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
            self.phases.append((name, total, unit))

        def advance(self, amount: int, *, texts: int = 0) -> None:
            self.advanced += amount

        def close(self) -> None:
            self.closed += 1

    path = write(tmp_path, b"".join(lines()) * 600, manifest=False)
    heard = Heard()
    audit(path, progress=heard)
    assert heard.phases == [("reading the embeddings", path.stat().st_size, "bytes")]
    assert 0.8 * path.stat().st_size < heard.advanced <= path.stat().st_size
    assert heard.closed == 1


def test_errors_that_are_none_of_the_files_fault(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        audit(tmp_path / "absent.jsonl")
    assert issubclass(InputNotFound, QembedError)


class TestFormats:
    """Every check holds for every format, in one file and in shards."""

    @pytest.fixture(params=[(name, shards) for name in FORMATS for shards in (None, 3)], ids=str)
    def kind(self, request: pytest.FixtureRequest) -> tuple[Format, int | None]:
        if request.param[0] == "parquet":
            pytest.importorskip("pyarrow")
        format, shard_records = request.param
        return format, shard_records

    def write(
        self,
        folder: Path,
        kind: tuple[Format, int | None],
        records: list[dict[str, Any]],
        manifest: bool = True,
    ) -> tuple[Path, ...]:
        """Sound or not, with the manifest of what was written."""
        format, shard_records = kind
        fingerprint = ChunksFingerprint()
        with open_writer(
            format, folder, "demo", dimension=4, records=len(records), shard_records=shard_records
        ) as writer:
            for record in records:
                vector = np.array([record["embedding"]], dtype=np.float32)
                writer.add([record["id"]], [record["text"]], vector, [record["metadata"]])
                fingerprint.add(record["id"], record["text"])
            written = writer.close()
        output = Output.of(
            written,
            format=format,
            chunks_fingerprint=fingerprint.hexdigest(),
            records=len(records),
            dimension=4,
        )
        if manifest:
            model = {"id": "demo/model", "normalized": True, "max_tokens": 256}
            files = OutputFiles.in_folder(folder, "demo")
            write_json(files.manifest, Manifest("demo", "", Inputs("", "", 4, 3), output, {}, model, {}))
        return tuple(folder / file.name for file in written)

    def test_a_sound_one(self, tmp_path: Path, kind: tuple[Format, int | None]) -> None:
        files = self.write(tmp_path, kind, list(map(orjson.loads, lines())))
        for path in (tmp_path, *files):
            report = audit(path)
            assert report.sound(strict=True), report.findings
            assert consistent(report)
        assert report.manifest is not None
        assert (report.file, report.format, report.records) == (files[0], kind[0], 4)
        assert report.files == report.manifest.output.files
        assert (report.bytes, report.sha256) == (report.manifest.output.bytes, report.manifest.output.sha256)

    def test_findings_name_the_same_records(self, tmp_path: Path, kind: tuple[Format, int | None]) -> None:
        records = list(map(orjson.loads, lines())) * 2
        for number, record in enumerate(records[4:]):
            records[4 + number] = {**record, "id": record["id"] + "x" * (number > 0)}
        records[5]["embedding"] = [0, 0, 0, 0]
        records[6]["text"] = "other"
        records[7]["embedding"] = [float("nan"), 1, 0, 0]
        self.write(tmp_path, kind, records, manifest=False)
        report = audit(tmp_path)
        assert consistent(report)
        assert {finding.kind: finding.lines for finding in report.findings} == {
            "duplicate-id": (1, 5),
            "zero-norm": (6,),
            "non-finite": (8,),
            "content-mismatch": (7,),
            "vector-of-two-texts": (3, 7),
        }
        shard = kind[1] or 8
        assert [report.place(line) for line in range(1, 9)] == [
            (line // shard, line % shard + 1) for line in range(8)
        ]

    def test_a_flipped_bit_anywhere_is_found(self, tmp_path: Path, kind: tuple[Format, int | None]) -> None:
        files = self.write(tmp_path, kind, list(map(orjson.loads, lines())))
        for file in files:
            whole = file.read_bytes()
            for at in np.random.default_rng(5).integers(0, len(whole), 30):
                damaged = bytearray(whole)
                damaged[at] ^= 4
                file.write_bytes(damaged)
                report = audit(tmp_path)
                assert consistent(report)
                assert report.counts["sha256-not-as-recorded"] == 1
                [reason] = [
                    found.reason for found in report.findings if found.kind == "sha256-not-as-recorded"
                ]
                assert reason.startswith(f"{file.name if len(files) > 1 else 'the file'} has changed")
            file.write_bytes(whole)

    def test_shards_of_another_run(self, tmp_path: Path, kind: tuple[Format, int | None]) -> None:
        records = list(map(orjson.loads, lines()))
        for file in self.write(tmp_path, kind, records):
            file.unlink()
        self.write(tmp_path, (kind[0], 1), records, manifest=False)
        report = audit(tmp_path)
        assert report.counts == {"sha256-not-as-recorded": 1}
        assert report.findings[0].reason.endswith("ids and texts are as written")
