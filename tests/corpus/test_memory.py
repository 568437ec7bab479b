"""Chunks stream past: memory does not grow with the collection.

The fast tests watch Python's own allocations over 50,000 chunks; the slow ones walk 1,000,000 chunks in a
process of their own and look at the most memory that it ever had. Run those with ``pytest -m slow``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from qembed.corpus import check_ids, json_stream, read
from qembed.corpus.read import FAST_PATH_BYTES
from qembed.corpus.survey import Survey

MB = 1_000_000
PADDING = "It is about as long as a real chunk. " * 20  # some 800 characters

WALK = """
import sys, time
from pathlib import Path
from qembed.corpus import CorpusOptions, check_ids, read_chunks
from qembed.corpus.survey import Survey
from qembed.engine import peak_memory_bytes

root, options = Path(sys.argv[1]), CorpusOptions()
survey, started = Survey(), time.perf_counter()
for chunk in read_chunks(root, options, on_finding=survey.findings.append, on_file=survey.on_file):
    survey.add(chunk)
seconds = time.perf_counter() - started
check_ids(survey.ids, root, options)
unique = len(survey.groups().first)
peak_bytes = peak_memory_bytes("cpu")["host_bytes"]  # getrusage would begin with the peak of pytest
print(len(survey), unique, len(survey.findings), peak_bytes, seconds)
"""


def item(number: int) -> str:
    """A chunk as JSON; 38 % of them repeat an earlier text."""
    text = f"Chunk {number if number % 100 >= 38 else number % 1000}. {PADDING}"
    metadata = {
        "source_file": f"docs\\\\page{number // 50}.md",
        "chunk_index": number % 50,
        "title": "A page",
    }
    return json.dumps({"content": text, "metadata": metadata})


def write_many_files(root: Path, chunks: int, per_file: int) -> Path:
    for start in range(0, chunks, per_file):
        folder = root / f"sub{start // per_file % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{start}.jsonl").open("w") as file:
            file.writelines(item(number) + "\n" for number in range(start, start + per_file))
    return root


def write_one_list(root: Path, chunks: int) -> Path:
    root.mkdir(parents=True)
    with (root / "all_chunks.json").open("w") as file:
        for number in range(chunks):
            file.write(("[\n" if number == 0 else ",\n") + item(number))
        file.write("\n]\n")
    return root


def walk_in_process(root: Path) -> tuple[int, int, int, int, float]:
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(root)], capture_output=True, text=True, check=True, timeout=900
    )
    *counts, seconds = done.stdout.split()
    total, unique, findings, peak_bytes = map(int, counts)
    return total, unique, findings, peak_bytes, float(seconds)


@pytest.mark.parametrize("shape", ["many-files", "one-broken-list"])
def test_memory_over_50_000_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    # Smaller windows in proportion, so that 50 MB show what 1 GB would.
    monkeypatch.setattr(read, "FAST_PATH_BYTES", FAST_PATH_BYTES // 32)
    monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", json_stream.BLOCK_CHARACTERS // 4)
    from qembed.corpus import CorpusOptions, read_chunks

    root = tmp_path / "eco"
    chunks = 50_000
    if shape == "many-files":
        write_many_files(root, chunks, 1000)
    else:
        write_one_list(root, chunks)
    if shape == "one-broken-list":
        with (root / "all_chunks.json").open("a") as file:
            file.write("and more")
    survey = Survey()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number, chunk in enumerate(read_chunks(root, on_finding=survey.findings.append)):
            if number % 25 == 0:  # tracing makes the rest slow
                survey.add(chunk)
        check_ids(survey.ids, root, CorpusOptions(limit=1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == chunks - 1
    assert len(survey.findings) == (shape == "one-broken-list")
    assert peak - before < 8 * MB, f"{(peak - before) / MB:.1f} MB for {chunks} chunks"


def test_what_a_survey_keeps_of_a_chunk() -> None:
    from qembed.corpus.ids import content_sha256
    from qembed.records import Chunk, Place

    place = Place("a.json")
    survey = Survey()
    tracemalloc.start()
    try:
        for number in range(20_000):
            text = f"{number} " * 50
            metadata = {"subdirectory": "docs", "content_sha256": content_sha256(text)}
            survey.add(Chunk(f"c:docs:a:chunk:{number}", text, metadata, place))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 20_000 < 60, f"{kept / 20_000:.0f} bytes a chunk"


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [lambda root: write_many_files(root, 1_000_000, 1000), lambda root: write_one_list(root, 1_000_000)],
    ids=["many-files", "one-list"],
)
def test_a_million_chunks_within_300_mb(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    total, unique, findings, peak_bytes, seconds = walk_in_process(write(tmp_path / "eco"))
    print(f"\n{total} chunks, {peak_bytes / MB:.0f} MB, {total / seconds:,.0f} chunks/s")  # noqa: T201
    assert (total, unique, findings) == (1_000_000, 620_380, 0)
    assert peak_bytes < 300 * MB
