"""Benches for tests: embeddings, vectors of queries and an eval set on disk; rerankers that need no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from eval_folders import eval_folder

from qembed.commands.bench.options import BenchOptions
from qembed.evaluation.rerank.reranker import Reranked
from qembed.progress import Progress

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Item:
    """A chunk; on a page ``SUBDIRECTORY/PAGE`` unless that is None."""

    id: str
    text: str
    vector: Sequence[float]
    page: str | None = None
    tokens: int | None = None
    subdirectory: str = "docs"


@dataclass(frozen=True, slots=True)
class Made:
    """What a bench is given.

    Attributes:
        embeddings: Folder of the file of vectors.
        query_vectors: The same for the queries.
        eval_set: Folder of queries and qrels.
    """

    embeddings: Path
    query_vectors: Path
    eval_set: Path

    def options(self, **changes: Any) -> BenchOptions:
        """Fast ones: no model, no timing, few resamples."""
        usual: dict[str, Any] = {
            "query_vectors": self.query_vectors,
            "measures": ("nDCG@10", "recall@10", "judged@10"),
            "latency_queries": 0,
            "resamples": 200,
        }
        return BenchOptions(**{**usual, **changes})


def write_embeddings(folder: Path, items: Sequence[Item]) -> Path:
    """``folder`` with one file of JSON lines and no manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for item in items:
        metadata: dict[str, Any] = {}
        if item.page is not None:
            metadata |= {"subdirectory": item.subdirectory, "filename": item.page}
        if item.tokens is not None:
            metadata["token_count"] = item.tokens
        record = {"id": item.id, "text": item.text, "embedding": list(item.vector), "metadata": metadata}
        lines.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    (folder / "c_embeddings.jsonl").write_bytes(b"".join(lines))
    return folder


def write_query_vectors(folder: Path, vectors: Mapping[str, Sequence[float]]) -> Path:
    """The same for queries, which have no text here."""
    return write_embeddings(folder, [Item(name, name, vector) for name, vector in vectors.items()])


def make(
    folder: Path,
    items: Sequence[Item],
    queries: Mapping[str, tuple[str, Sequence[float]]],
    rows: Sequence[str],
    *,
    card: str | None = None,
) -> Made:
    """A bench of a few chunks and queries, given one by one; ``rows`` are those of ``eval_folder``."""
    texts = {name: text for name, (text, _) in queries.items()}
    return Made(
        write_embeddings(folder / "new", items),
        write_query_vectors(folder / "queries", {name: vector for name, (_, vector) in queries.items()}),
        eval_folder(folder / "set", texts, {"test": rows}, card=card),
    )


def library(
    folder: Path,
    *,
    texts: int = 40,
    queries: int = 20,
    noise: float = 0.8,
    level: str = "chunk",
    seed: int = 0,
) -> Made:
    """A random collection: query ``q07`` asks for text 7, which its vector resembles.

    Texts stand on pages of two; every fourth text has a copy on another page. BM25 finds the texts of even
    queries only, and nothing at all for ``q01``, which is punctuation. Text ``n + 1`` helps (grade 1).
    """
    items, vectors = library_items(texts, seed)
    random = np.random.default_rng(seed + 1)
    asked = {}
    rows = []
    for number in range(queries):
        text = f"what of topic{number}" if number % 2 == 0 else f"zebra{number} unheard"
        near = vectors[number] + noise * random.normal(size=vectors.shape[1])
        asked[f"q{number:02d}"] = ("?! ..." if number == 1 else text, near.tolist())
        for item, grade in ((number, 2), (number + 1, 1), ((number + 7) % texts, 0)):
            name = f"docs/p{item // 2}.md" if level == "page" else f"c:{item:02d}"
            row = f"q{number:02d} {name} {grade}"
            if not any(known.startswith(row.rsplit(" ", 1)[0] + " ") for known in rows):
                rows.append(row)
    card = f'name = "library"\nlevel = "{level}"\npool_depth = 3\n'
    return make(folder, items, asked, rows, card=card)


def library_items(texts: int = 40, seed: int = 0, dimension: int = 12) -> tuple[list[Item], Floats]:
    """Its chunks, and the vectors of its texts."""
    vectors = np.random.default_rng(seed).normal(size=(texts, dimension))
    items = []
    for number in range(texts):
        text, vector = f"Topic{number} is told here, at length {number * 7 % 11}.", vectors[number].tolist()
        items.append(Item(f"c:{number:02d}", text, vector, f"p{number // 2}.md", tokens=10 + number))
        if number % 4 == 0:
            items.append(Item(f"c:{number:02d}:copy", text, vector, f"p{(number // 2 + 9) % 20}.md"))
    return items, vectors


@dataclass(slots=True)
class FakeReranker:
    """Scores by a function of query and text; keeps what it was asked."""

    name: str
    score: Callable[[str, str], float]
    asked: list[tuple[str, str]] = field(default_factory=list)
    timed: list[tuple[str, int]] = field(default_factory=list)
    truncated_pairs: int = 0
    failures: tuple[str, ...] = ()

    @property
    def provenance(self) -> dict[str, Any]:
        return {"kind": "fake", "id": self.name}

    def rerank(
        self,
        queries: Sequence[str],
        texts: Sequence[str],
        candidates: Sequence[npt.NDArray[np.int64]],
        *,
        progress: Progress = Progress(),
    ) -> Reranked:
        pairs = [
            [(query, texts[at]) for at in found] for query, found in zip(queries, candidates, strict=True)
        ]
        self.asked += [pair for found in pairs for pair in found]
        scores = [np.array([self.score(*pair) for pair in found], dtype=np.float64) for found in pairs]
        count = sum(map(len, pairs))
        return Reranked(
            scores, count, count, self.truncated_pairs, 10 * count, 12 * count, 0, 2.0, 0, self.failures
        )

    def score_one(self, query: str, texts: Sequence[str]) -> Floats:
        self.timed.append((query, len(texts)))
        return np.array([self.score(query, text) for text in texts])


def by_length(query: str, text: str) -> float:
    """A bad reranker: long texts first, all alike otherwise."""
    return float(len(text))


def oracle(query: str, text: str) -> float:
    """A good one: the text of which the query names the number first."""
    number = "".join(character for character in query if character.isdigit())
    return 5.0 if text.startswith(f"Topic{number} ") else -3.0
