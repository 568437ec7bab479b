"""``qembed audit``: every kind of finding with its lines and exit code, and what is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from qembed.cli import run
from qembed.records import REQUIRED_METADATA
from qembed.store import ChunksFingerprint, Inputs, Manifest, Output, OutputFiles, write_json
from qembed.store.audit.findings import CHECKS, KINDS
from qembed.store.jsonl import Record, parse_line

DIMENSION = 8
MAX_TOKENS = 256
COUNT = 6
Json = dict[str, Any]
Change = Callable[[list[Json]], list[Json | bytes]]


def unit(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def good(number: int, text: str | None = None) -> Json:
    text = f"Text of chunk {number}." if text is None else text
    metadata: Json = dict.fromkeys(REQUIRED_METADATA, "demo")
    metadata |= {"chunk_index": number, "token_count": 5, "content_sha256": sha256(text.encode()).hexdigest()}
    return {
        "id": f"demo:guide:a.md:chunk:{number}",
        "text": text,
        "embedding": unit(number),
        "metadata": metadata,
    }


def as_line(record: Json | bytes) -> bytes:
    if isinstance(record, bytes):
        return record
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def write(
    folder: Path,
    records: list[Json | bytes],
    *,
    output: Json | None = None,
    summary: Json | None = None,
    manifest: bool = True,
    name: str = "demo",
) -> Path:
    """A file with manifest and summary that are right but for ``output`` and ``summary``."""
    files = OutputFiles.in_folder(folder, name)
    lines = [as_line(record) for record in records]
    files.embeddings.write_bytes(b"".join(lines))
    if not manifest:
        return files.embeddings
    fingerprint, count, dimension = ChunksFingerprint(), 0, DIMENSION
    for line in lines:
        parsed = parse_line(line, 1)
        if isinstance(parsed, Record):
            fingerprint.add(parsed.id, parsed.text)
            count += 1
    digest, size = sha256(b"".join(lines)).hexdigest(), sum(map(len, lines))
    recorded = {"records": count, "dimension": dimension, "bytes": size, "sha256": digest}
    recorded |= {"chunks_fingerprint": fingerprint.hexdigest(), **(output or {})}
    model = {"id": "demo/model", "dtype": "fp32", "normalized": True, "max_tokens": MAX_TOKENS}
    made = Manifest(
        name,
        "2026-01-01T00:00:00+00:00",
        Inputs("in", "0", 6, 6),
        Output(files.embeddings.name, **recorded),
        {},
        model,
        {},
    )
    write_json(files.manifest, made)
    write_json(files.summary, {"total_embeddings": count, "vector_dimension": dimension, **(summary or {})})
    return files.embeddings


def found(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> tuple[int, Json]:
    """Exit code and JSON report."""
    code = run(["audit", str(path), "--json", "--quiet", *options])
    report = json.loads(capsys.readouterr().out)
    assert isinstance(report, dict)
    return code, report


def with_change(number: int, **changes: Any) -> Change:
    """Replace keys of the record on line ``number``."""
    return lambda records: [
        record | changes if at == number else record for at, record in enumerate(records, 1)
    ]


def with_line(number: int, line: bytes) -> Change:
    """Replace a whole line."""
    return lambda records: [line if at == number else record for at, record in enumerate(records, 1)]


def with_nan(record: Json) -> bytes:
    metadata = {**record["metadata"], "note": float("nan")}
    line = json.dumps({**record, "metadata": metadata}, default=np.ndarray.tolist)
    return f"{line}\n".encode()


def twice(record: Json) -> bytes:
    line = json.dumps(record, default=np.ndarray.tolist)
    return f'{{"text": "other", {line[1:]}\n'.encode()


def without(number: int, key: str) -> Change:
    """Drop a key."""

    def change(records: list[Json]) -> list[Json | bytes]:
        return [
            {k: v for k, v in record.items() if at != number or k != key}
            for at, record in enumerate(records, 1)
        ]

    return change


def with_metadata(number: int, **changes: Any) -> Change:
    """Replace keys of the metadata; drop those that are None."""

    def change(records: list[Json]) -> list[Json | bytes]:
        metadata = records[number - 1]["metadata"] | changes
        metadata = {key: value for key, value in metadata.items() if value is not None}
        return with_change(number, metadata=metadata)(records)

    return change


def vector(number: int, at: int, value: object) -> Change:
    """Replace one number of a vector."""
    numbers: list[object] = unit(number - 1).tolist()
    numbers[at] = value
    return with_change(number, embedding=numbers)


def bare(number: int, token: str) -> Change:
    """A vector with a bare token in it, as Python's json.dump writes NaN and Infinity."""
    return lambda records: with_line(
        number, as_line(vector(number, 2, 0.5)(records)[number - 1]).replace(b"0.5,", f"{token},".encode(), 1)
    )(records)


def all_with_cut_last(records: list[Json]) -> list[Json | bytes]:
    return [*records[:-1], as_line(records[-1])[:-30]]


def twin(number: int, text: str, **metadata: Any) -> Json:
    """A record with the vector of the first one."""
    record = good(number, text) | {"embedding": unit(0)}
    return record | {"metadata": record["metadata"] | metadata}


def close_and_far(first: Json) -> list[Json | bytes]:
    """The text of ``first`` with almost its vector, then with another one."""
    close, far = good(7, first["text"]), good(8, first["text"])
    return [close | {"embedding": first["embedding"] + np.float32(1e-4)}, far]


CORRUPTIONS: dict[str, tuple[Change, str, list[list[int]]]] = {
    "empty": (lambda _: [], "empty-file", [[]]),
    "blank lines only": (lambda _: [b"\n", b"  \r\n"], "empty-file", [[]]),
    "cut off": (all_with_cut_last, "cut-off", [[6]]),
    "cut off in the middle": (with_line(3, b'{"id": "x", "te\n'), "not-json", [[3]]),
    "not UTF-8": (with_line(3, b'{"id": "\xff"}\n'), "not-json", [[3]]),
    "half a character": (with_line(3, b'{"id": "\\ud800", "embedding": [1]}\n'), "not-json", [[3]]),
    "a key twice": (
        lambda records: [twice(record) if at == 3 else record for at, record in enumerate(records, 1)],
        "duplicate-key",
        [[3]],
    ),
    "nested too deep": (with_line(3, b'{"id": ' + b"[" * 100_000 + b"\n"), "not-json", [[3]]),
    "a list": (with_line(3, b"[1, 2]\n"), "not-an-object", [[3]]),
    "no id": (without(2, "id"), "no-id", [[2]]),
    "no vector": (without(2, "embedding"), "no-vector", [[2]]),
    "empty vector": (with_change(2, embedding=[]), "no-vector", [[2]]),
    "a string in the vector": (vector(2, 0, "0.5"), "not-numbers", [[2]]),
    "true in the vector": (vector(2, 0, True), "not-numbers", [[2]]),
    "nested vector": (with_change(2, embedding=[[0.5], [0.5]]), "not-numbers", [[2]]),
    "shorter vector": (with_change(4, embedding=unit(3, 7)), "dimension-differs", [[4]]),
    "shorter first vector": (with_change(1, embedding=unit(0, 7)), "dimension-differs", [[1]]),
    "null": (vector(5, 3, None), "non-finite", [[5]]),
    "bare NaN": (bare(5, "NaN"), "non-finite", [[5]]),
    "bare -Infinity": (bare(5, "-Infinity"), "non-finite", [[5]]),
    "beyond any float": (bare(5, "1e999"), "non-finite", [[5]]),
    "beyond float32": (vector(5, 3, 1e39), "non-finite", [[5]]),
    "zero vector": (with_change(3, embedding=[0.0] * DIMENSION), "zero-norm", [[3]]),
    "not normalised": (with_change(3, embedding=unit(2) * np.float32(1.002)), "norm-off-one", [[3]]),
    "tiny": (with_change(3, embedding=unit(2) * np.float32(1e-30)), "norm-off-one", [[3]]),
    "huge": (with_change(3, embedding=unit(2) * np.float32(1e30)), "norm-off-one", [[3]]),
    "same id": (with_change(6, id=good(1)["id"]), "duplicate-id", [[2, 6]]),
    "copied record": (lambda records: [*records, records[0], records[0]], "duplicate-id", [[1, 7, 8]]),
    "no source": (with_metadata(2, source=None), "missing-metadata", [[2]]),
    "no metadata": (without(2, "metadata"), "missing-metadata", [[2]]),
    "the ids 1 and '1'": (lambda r: [r[0] | {"id": 1}, r[1] | {"id": "1"}], "duplicate-id", [[1, 2]]),
    "no text anywhere": (lambda r: [record | {"text": None} for record in r[:2]], "no-text", [[1], [2]]),
    "two lengths": (lambda r: [*r, r[1] | {"id": 7, "embedding": unit(7, 7)}], "dimension-differs", [[7]]),
    "one of three": (lambda r: [*r, *close_and_far(r[1])], "text-with-two-vectors", [[2, 8]]),
    "no text": (without(2, "text"), "no-text", [[2]]),
    "blank text": (lambda records: [good(0, " \n"), *records[1:]], "no-text", [[1]]),
    "changed text": (with_change(2, text="Changed."), "content-mismatch", [[2]]),
    "false hash": (with_metadata(2, content_sha256=17), "content-mismatch", [[2]]),
    "two vectors": (lambda r: [*r, good(7, r[1]["text"])], "text-with-two-vectors", [[2, 7]]),
}  # fmt: skip


def test_values_that_no_index_holds_are_said_and_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [good(number) for number in range(COUNT)]
    write(tmp_path, [*records[:2], with_nan(records[2]), *records[3:]])
    code, report = found(capsys, tmp_path)
    assert (code, report["counts"]) == (0, {"changed-values": 1})
    assert [finding["lines"] for finding in report["findings"]] == [[3]]
    assert report["findings"][0]["reason"].endswith("NaN and infinities are null")


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_finds_exactly_what_is_wrong(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, kind, lines = CORRUPTIONS[case]
    write(tmp_path, change([good(number) for number in range(COUNT)]))
    code, report = found(capsys, tmp_path)
    assert report["counts"] == {kind: len(lines)}
    assert [finding["lines"] for finding in report["findings"]] == lines
    assert {finding["severity"] for finding in report["findings"]} == {"error"}
    assert report["sound"] is False
    assert code == 3
    failed = [check["name"] for check in report["checks"] if check["outcome"] == "problems"]
    assert failed == [KINDS[kind].check]


def test_says_nothing_of_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [good(number) for number in range(COUNT)])
    code, report = found(capsys, tmp_path, "--strict")
    assert code == 0
    assert report["sound"] is True
    assert (report["errors"], report["warnings"], report["findings"]) == (0, 0, [])
    assert {check["name"]: check["outcome"] for check in report["checks"]} == dict.fromkeys(CHECKS, "ok")
    assert (report["records"], report["dimension"], report["normalized"]) == (COUNT, DIMENSION, True)
    assert report["norms"]["mean"] == pytest.approx(1, abs=1e-6)
    assert report["model"]["id"] == "demo/model"


def test_a_hash_in_capitals_is_the_same_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [good(number) for number in range(COUNT)]
    records[0]["metadata"]["content_sha256"] = records[0]["metadata"]["content_sha256"].upper()
    assert found(capsys, write(tmp_path, [*records]))[1]["counts"] == {}


def test_rounding_of_one_texts_vector_is_no_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [good(number) for number in range(COUNT)]
    close = good(7, records[1]["text"]) | {"embedding": unit(1) + np.float32(1e-4)}
    write(tmp_path, [*records, close])
    code, report = found(capsys, tmp_path, "--strict")
    assert (code, report["counts"]) == (0, {})
    notes = {check["name"]: check["note"] for check in report["checks"]}
    assert notes["same-text"] == "texts whose vectors differ by rounding only: 1"


@pytest.mark.parametrize(
    ("first", "second", "tokens", "words"),
    [
        ("One text.", "Quite another.", 5, "were vectors mixed up?"),
        ("Café  au lait", "CAFE au lait", 5, "tokenizer may ignore"),
        ("a " * 300 + "x", "a " * 300 + "y", MAX_TOKENS, "may have truncated the rest"),
        (
            "a " * 300 + "x",
            "a " * 300 + "y",
            MAX_TOKENS + 1,
            "both are truncated at 256 tokens; their first 600 char",
        ),
    ],
)
def test_two_texts_with_one_vector_are_a_warning(
    first: str, second: str, tokens: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [twin(0, first, token_count=tokens), good(1), twin(2, second, token_count=tokens)])
    code, report = found(capsys, tmp_path)
    assert code == 0
    assert report["counts"] == {"vector-of-two-texts": 1}
    [finding] = report["findings"]
    assert (finding["severity"], finding["lines"]) == ("warning", [1, 3])
    assert words in finding["reason"]
    assert found(capsys, tmp_path, "--strict")[0] == 3


RECORDED: dict[str, tuple[Json, Json, str, str]] = {
    "records": ({"records": 7}, {}, "count-not-as-recorded", "the manifest says 7 records, the file has 6"),
    "total_embeddings": ({}, {"total_embeddings": 5}, "count-not-as-recorded", "the summary says 5 records"),
    "no total": ({}, {"total_embeddings": None}, "count-not-as-recorded", "the summary says 'None' records"),
    "vector_dimension": ({}, {"vector_dimension": 9}, "dimension-not-as-recorded", "says 9 dimensions"),
    "sha256": ({"sha256": "0" * 64}, {}, "sha256-not-as-recorded", "ids and texts are as written"),
    "fingerprint": ({"chunks_fingerprint": "0"}, {}, "fingerprint-not-as-recorded", "or their order"),
}  # fmt: skip


@pytest.mark.parametrize("case", RECORDED)
def test_holds_the_file_against_manifest_and_summary(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, summary, kind, words = RECORDED[case]
    write(tmp_path, [good(number) for number in range(COUNT)], output=output, summary=summary)
    code, report = found(capsys, tmp_path)
    assert (code, report["counts"]) == (3, {kind: 1})
    [finding] = report["findings"]
    assert finding["lines"] == []
    assert words in finding["reason"]


def test_a_dimension_other_than_the_manifests_concerns_every_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [good(number) for number in range(COUNT)], output={"dimension": 9})
    code, report = found(capsys, tmp_path)
    assert (code, report["counts"]) == (3, {"dimension-differs": COUNT, "dimension-not-as-recorded": 1})


@pytest.mark.parametrize("suffix", ["summary", "manifest"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_an_unreadable_companion_is_a_finding(
    suffix: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, [good(number) for number in range(COUNT)])
    getattr(OutputFiles.of(path), suffix).write_text(content)
    code, report = found(capsys, path)
    assert (code, report["counts"]) == (3, {f"bad-{suffix}": 1})


def test_reads_files_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "points.jsonl"
    points = [{"id": at, "vector": unit(at).tolist(), "payload": {"content": f"t{at}"}} for at in range(4)]
    path.write_text("".join(json.dumps(point) + "\n" for point in points))
    code, report = found(capsys, path)
    assert code == 0
    assert report["counts"] == {"missing-metadata": 4}
    assert (report["errors"], report["warnings"], report["normalized"]) == (0, 4, True)
    skipped = {
        check["name"]: check["note"] for check in report["checks"] if check["outcome"] == "not checked"
    }
    assert skipped == {
        "content-sha256": "no record has content_sha256",
        "record-count": "no manifest, no summary",
        "file-sha256": "no manifest",
        "fingerprint": "no manifest",
    }
    assert found(capsys, path, "--strict")[0] == 3


def test_a_file_without_texts_skips_what_needs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.jsonl"
    path.write_bytes(b"".join(as_line({"id": at, "values": unit(at)}) for at in range(3)))
    code, report = found(capsys, path)
    assert (code, report["counts"]) == (0, {"missing-metadata": 3})
    notes = {check["name"]: check["note"] for check in report["checks"]}
    for name in ("texts", "content-sha256", "same-text", "same-vector"):
        assert notes[name] == "no record has a text"


@pytest.mark.parametrize(
    ("scales", "counts", "normalized"),
    [
        ([1.0] * 200, {}, True),
        ([1.0] * 199 + [2.0], {"norm-off-one": 1}, True),
        ([1.0] * 150 + [2.0] * 50, {"mixed-norms": 1}, False),
        ([float(at) for at in range(2, 202)], {}, False),
    ],
)
def test_judges_norms_where_nothing_says_what_they_should_be(
    scales: list[float], counts: Json, normalized: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [good(at) | {"embedding": unit(at) * np.float32(scale)} for at, scale in enumerate(scales)]
    path = write(tmp_path, records, manifest=False)
    code, report = found(capsys, path)
    assert (report["counts"], report["normalized"]) == (counts, normalized)
    assert code == (3 if "norm-off-one" in counts else 0)
    note = next(check["note"] for check in report["checks"] if check["name"] == "norms")
    assert note.startswith("not normalised: 0 of 200") is (not normalized and not counts)


def test_options_say_what_should_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [good(at) | {"embedding": unit(at) * np.float32(2)} for at in range(3)]
    path = write(tmp_path, records, manifest=False)
    assert found(capsys, path)[0] == 0
    assert found(capsys, path, "--normalized")[1]["counts"] == {"norm-off-one": 3}
    assert found(capsys, path, "--not-normalized")[1]["counts"] == {}
    code, report = found(capsys, path, "--dimension", "9")
    assert (code, report["counts"]) == (3, {"dimension-differs": 3})
    assert report["findings"][0]["reason"] == "8 dimensions, --dimension says 9"


def test_examples_are_bounded_and_all_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, [b"x\n"] * 50, manifest=False)
    code, report = found(capsys, path)
    assert (code, report["counts"], len(report["findings"])) == (3, {"not-json": 50}, 20)
    assert len(found(capsys, path, "--all")[1]["findings"]) == 50
    run(["audit", str(path), "-q"])
    assert "and 47 more (--all lists them)" in capsys.readouterr().out
    run(["audit", str(path), "-q", "--all"])
    assert "line 50  not valid JSON" in capsys.readouterr().out


def bad_file(folder: Path) -> Path:
    records: list[Json | bytes] = list(
        with_metadata(4, source=None, token_count=None)([good(at) for at in range(5)])
    )
    records[2] = good(2) | {"embedding": [0.0] * DIMENSION}
    records[4] = good(4) | {"id": good(1)["id"]}
    return write(
        folder, [*records, twin(5, "Not chunk 0."), as_line(good(6))[:-9]], manifest=False, name="bad"
    )


def test_report_for_people(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    golden: Callable[[str, str], None],
) -> None:
    monkeypatch.chdir(bad_file(tmp_path).parent)
    assert run(["audit", "bad_embeddings.jsonl", "-q"]) == 3
    captured = capsys.readouterr()
    text = re.sub(r"read in .*", "read in N s (N records/s)", captured.out)
    golden("audit_bad", "".join(line.rstrip() + "\n" for line in text.splitlines()))
    assert captured.err == ""
    assert max(map(len, captured.out.splitlines())) <= 80


def test_sound_file_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, [good(number) for number in range(COUNT)])
    assert run(["audit", str(path), "-q"]) == 0
    text = capsys.readouterr().out
    assert "model    demo/model, fp32" in text
    assert "sound: 6 records.\nnext: qembed search" in text


def test_colour_only_where_it_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bad_file(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(["audit", str(path), "-q"])
    assert "\x1b[31m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    run(["audit", str(path), "-q"])
    assert "\x1b[31m" not in capsys.readouterr().out


def test_nothing_in_the_file_is_read_as_markup_or_control(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "[red]x[/] \x1b[2J"
    path = write(tmp_path, [good(0) | {"id": name}, good(1) | {"id": name}], manifest=False)
    assert run(["audit", str(path), "-q"]) == 3
    text = capsys.readouterr().out
    assert r"'[red]x[/] \x1b[2J'" in text
    assert "\x1b" not in text


def test_missing_and_ambiguous_files_are_usage_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", str(tmp_path)]) == 2
    assert "no embeddings at" in capsys.readouterr().err
    for name in ("a", "b"):
        write(tmp_path, [], manifest=False, name=name)
    assert run(["audit", str(tmp_path)]) == 2
    assert "name the one that you mean" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  qembed audit out/\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_docs_explain_every_kind_and_check() -> None:
    text = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    for kind, what in KINDS.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        severity = what.severity if what.severity == what.elsewhere else f"{what.severity} / {what.elsewhere}"
        assert f"| {severity} |" in row
    for check in CHECKS:
        assert f"`{check}`" in text
