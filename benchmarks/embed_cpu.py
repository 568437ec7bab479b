"""qembed against the loop that users write: slices of 24 texts in file order through ``encode``.

All run in one process on the same device, interleaved: qembed twice, in fp32 and in ``auto`` precision, and
whenever it has finished another share of its work, the loop (fp32) does half that share of its own. A machine
that slows down for a while slows both. Compared are the vectors of every chunk (cosine) and the wall time
without loading the model.

    python benchmarks/embed_cpu.py                        # the API documentation of installed packages
    python benchmarks/embed_cpu.py --input FOLDER         # your chunks
    python benchmarks/embed_cpu.py --input FOLDER --limit 200
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
from common import machine_line, markdown_table
from sentence_transformers import SentenceTransformer

from qembed.commands.corpus.from_package import corpus_from_package
from qembed.commands.embed.embed import EmbedOptions, EmbedResult, embed
from qembed.corpus import CorpusOptions, read_chunks
from qembed.models import EncoderOptions, Precision, resolve_model
from qembed.progress import Progress
from qembed.store import Record, read_records

SLICE_TEXTS = 24
PRECISIONS: tuple[Precision, ...] = ("fp32", "auto")
PACKAGES = ("click", "rich", "qdrant_client")


class UsersLoop:
    """What people write today; runs one slice at a time so that it can be interleaved."""

    def __init__(
        self, folder: Path, options: CorpusOptions, model: SentenceTransformer, output: Path
    ) -> None:
        started = perf_counter()
        self.chunks = list(read_chunks(folder, options))
        self.seconds = perf_counter() - started
        self.model, self.output = model, output
        self.vectors: list[np.ndarray] = []
        self._slices = self._run()

    def catch_up(self, share: float) -> None:
        """Continue until this share of the texts is done."""
        while self.done < share * len(self.chunks) and next(self._slices, None):
            pass

    @property
    def done(self) -> int:
        return len(self.vectors) * SLICE_TEXTS

    def finish(self) -> np.ndarray:
        """Encode what is left and write the file; float32 (chunks, dimension)."""
        self.catch_up(2.0)
        started = perf_counter()
        vectors = np.concatenate(self.vectors)
        with self.output.open("w", encoding="utf-8") as file:
            for chunk, vector in zip(self.chunks, vectors, strict=True):
                record = {
                    "id": chunk.id,
                    "text": chunk.text,
                    "embedding": vector.tolist(),
                    "metadata": chunk.metadata,
                }
                file.write(json.dumps(record) + "\n")
        self.seconds += perf_counter() - started
        return vectors

    def _run(self) -> Iterator[bool]:
        for start in range(0, len(self.chunks), SLICE_TEXTS):
            texts = [chunk.text for chunk in self.chunks[start : start + SLICE_TEXTS]]
            started = perf_counter()
            self.vectors.append(self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
            self.seconds += perf_counter() - started
            yield True


class Interleave(Progress):
    """Lets the loop catch up after every batch of qembed, and keeps that time out of qembed's."""

    def __init__(self, loop: UsersLoop, begin: float, end: float) -> None:
        """The loop goes from share ``begin`` of its work to share ``end`` meanwhile."""
        self.loop, self.begin, self.end = loop, begin, end
        self.loop_seconds = 0.0
        self._name, self._total, self._done = "", 0, 0

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self._name, self._total, self._done = name, total or 0, 0

    def expect(self, total: int) -> None:
        self._total = total

    def advance(self, amount: int, *, texts: int = 0) -> None:
        if self._name != "encoding":
            return
        self._done += amount
        started = perf_counter()
        workers = psutil.Process().children()
        for worker in workers:  # two things at once would slow each other
            worker.suspend()
        self.loop.catch_up(self.begin + (self.end - self.begin) * self._done / self._total)
        for worker in workers:
            worker.resume()
        self.loop_seconds += perf_counter() - started


def compare(folder: Path, model: str, options: CorpusOptions, work: Path) -> list[dict[str, Any]]:
    """Run all; one row each: seconds without loading, and the agreement of the vectors with the loop's."""
    source = resolve_model(model)
    users_model = SentenceTransformer(str(source.path), device="cpu", local_files_only=True)
    users_model.encode(["warm up"] * SLICE_TEXTS)
    loop = UsersLoop(folder, options, users_model, work / "loop.jsonl")
    results, rows = [], []
    for number, precision in enumerate(PRECISIONS):
        interleave = Interleave(loop, number / len(PRECISIONS), (number + 1) / len(PRECISIONS))
        encoder = EncoderOptions(device="cpu", precision=precision)
        started = perf_counter()
        output = work / f"qembed-{precision}"
        result = embed(folder, output, EmbedOptions(model, options, encoder), progress=interleave)
        seconds = perf_counter() - started - interleave.loop_seconds
        results.append((precision, result, seconds - result.summary["phases_seconds"]["load"]))
    expected = loop.finish()
    for precision, result, seconds in results:
        cosines = cosine_of_each(result, expected)
        dtype = result.summary["model"]["dtype"]
        name = precision if precision == dtype else f"{precision} ({dtype})"
        rows.append({"name": f"`qembed embed --precision` {name}", "seconds": seconds, "cosines": cosines})
    summary = results[0][1].summary
    loop_row = {
        "name": f"loop over slices of {SLICE_TEXTS}, fp32",
        "seconds": loop.seconds,
        "summary": summary,
    }
    return [loop_row, *rows]


def cosine_of_each(result: EmbedResult, expected: np.ndarray) -> np.ndarray:
    """Cosine of qembed's vector with the loop's, for every chunk in order."""
    records = [record for record in read_records(result.files.embeddings) if isinstance(record, Record)]
    ours = np.stack([record.vector for record in records]).astype(np.float64)
    theirs = expected.astype(np.float64)
    return (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


def report(rows: list[dict[str, Any]], collection: str) -> str:
    """The result as markdown, with machine, versions and date."""
    summary = rows[0]["summary"]
    chunks, unique = summary["total_chunks"], summary["unique_texts"]
    table = []
    for row in rows:
        found = row.get("cosines")
        cosines = ["", ""] if found is None else [f"{found.mean():.7f}", f"{found.min():.7f}"]
        speed = rows[0]["seconds"] / row["seconds"]
        seconds = row["seconds"]
        table.append([row["name"], f"{seconds:.1f}", f"{chunks / seconds:.1f}", f"{speed:.2f}x", *cosines])
    header = ["", "seconds", "chunks/s", "faster", "cosine, mean", "cosine, least"]
    return f"""### embed_cpu: {collection}, {chunks:,} chunks, {unique:,} unique texts

{machine_line(("torch", "transformers", "sentence-transformers"))}

{markdown_table(header, table)}

Duplicates alone would give {chunks / unique:.2f}x. Padding waste {summary["padding_waste"]:.2%}. Reading,
tokenising and writing are in all times, loading the model in none.
"""


def main() -> None:
    """Parse the arguments, make a collection if none is given, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, help="a folder of chunks; made from installed packages when left out"
    )
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--limit", type=int, help="most chunks per subdirectory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as folder:
        work = Path(folder)
        chunks = arguments.input
        if chunks is None:
            chunks = work / "python_api"
            corpus_from_package(PACKAGES, chunks, model=arguments.model)
        rows = compare(chunks, arguments.model, CorpusOptions(limit=arguments.limit), work)
        print(report(rows, chunks.name))


if __name__ == "__main__":
    main()
