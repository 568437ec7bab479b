"""The bench that vouches for embeddings: the newest with gates, of exactly these files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from qembed.errors import CheckFailed
from qembed.report.gated import bench_that_passed

OUT = Path("out")
GOOD = {"gate": "nDCG@10>=0.4", "passed": True, "words": "nDCG@10 is 0.500, at least 0.4 is wanted"}
BAD = {"gate": "nDCG@10>=0.6", "passed": False, "words": "nDCG@10 is 0.500, at least 0.6 is wanted"}


def stored(
    reports: Path, number: int, *hashes: str | None, gates: tuple[dict[str, Any], ...] = (GOOD,)
) -> Path:
    folder = reports / f"{number:04d}_set"
    folder.mkdir(parents=True)
    document = {
        "schema": "qembed.bench/2",
        "passed": all(gate["passed"] for gate in gates),
        "sides": [{"embeddings_sha256": value} for value in hashes],
        "gates": gates,
    }
    (folder / "bench.json").write_bytes(orjson.dumps(document))
    return folder


def test_the_newest_with_gates_decides(tmp_path: Path) -> None:
    stored(tmp_path, 1, "ours", gates=(BAD,))
    passed = stored(tmp_path, 2, "ours", "theirs", gates=(GOOD, GOOD))
    stored(tmp_path, 3, "ours", gates=())
    stored(tmp_path, 4, "theirs", "ours", gates=(BAD,))
    assert bench_that_passed(tmp_path, "ours", embeddings=OUT) == passed
    stored(tmp_path, 10, "ours", gates=(GOOD, BAD))
    with pytest.raises(CheckFailed, match=r"did not pass: nDCG@10 is 0\.500, at least 0\.6") as caught:
        bench_that_passed(tmp_path, "ours", embeddings=OUT)
    assert "0010_set" in str(caught.value)
    assert caught.value.exit_code == 3


def test_one_bench_by_its_folder(tmp_path: Path) -> None:
    passed = stored(tmp_path, 1, "ours")
    stored(tmp_path, 2, "ours", gates=(BAD,))
    assert bench_that_passed(passed, "ours", embeddings=OUT) == passed


@pytest.mark.parametrize(
    ("hashes", "gates", "words"),
    [
        (None, (), "there is no stored bench"),
        (("theirs",), (GOOD,), "none of 1 stored benches"),
        (("theirs", "ours"), (GOOD,), "none of 1 stored benches"),
        ((None,), (GOOD,), "none of 1 stored benches"),
        (("ours",), (), "0001_set is of these embeddings, and it had no gate"),
    ],
)
def test_nobody_vouches(
    tmp_path: Path, hashes: tuple[str | None, ...] | None, gates: tuple[dict[str, Any], ...], words: str
) -> None:
    if hashes is not None:
        stored(tmp_path, 1, *hashes, gates=gates)
    with pytest.raises(CheckFailed, match=words) as caught:
        bench_that_passed(tmp_path, "ours", embeddings=OUT)
    assert "qembed bench out -e EVAL_SET --gate" in str(caught.value)


def test_a_bench_of_another_version_vouches_for_nothing(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1, "ours")
    (folder / "bench.json").write_text('{"schema": "qembed.bench/1"}')
    with pytest.raises(CheckFailed, match="there is no stored bench"):
        bench_that_passed(tmp_path, "ours", embeddings=OUT)
