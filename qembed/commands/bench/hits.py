"""What each system showed for each query, with the texts: for people who look at single queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.systems.side import Side
from qembed.evaluation.systems.system import System
from qembed.records import Qrels
from qembed.store import atomic_file

SHOWN = 20
"""Hits of each system that are stored for each query."""

Used = set[tuple[int, str]]


def write_hits(
    folder: Path, systems: Sequence[System], sides: Sequence[Side], qrels: Qrels, queries: dict[str, str]
) -> None:
    """Write ``hits.jsonl``, one line per query, and ``texts.jsonl``, each text that is shown once.

    A hit is the judged unit, the chunk whose text it was found by, and its score; the chunk's text is that of
    the same ``side`` in ``texts.jsonl``. A query's line has what was judged for it, and the rank of every
    relevant unit among all candidates of each system.

    Args:
        folder: Folder of the report.
        systems: In the order of the table.
        sides: The embeddings that they search, numbered from 0.
        qrels: Over units.
        queries: Query id -> text.

    Raises:
        QembedError: The disk is full or cannot be written.
    """
    used: Used = set()
    _write(folder / "hits.jsonl", _queries(systems, sides, qrels, queries, used))
    _write(folder / "texts.jsonl", _texts(sides, used))


def _queries(
    systems: Sequence[System], sides: Sequence[Side], qrels: Qrels, queries: dict[str, str], used: Used
) -> Iterator[dict[str, Any]]:
    for query, grades in qrels.items():
        shown: dict[str, Any] = {}
        for system in systems:
            side = sides.index(system.side)
            found = system.side.units.best_texts(system.texts.get(query, {}))
            scores = system.run.get(query, {})
            order = ranked(scores)
            hits: list[dict[str, Any]] = [
                {"unit": unit, "chunk_id": found[unit], "score": scores[unit]} for unit in order[:SHOWN]
            ]
            used.update((side, hit["chunk_id"]) for hit in hits)
            ranks = {unit: rank for rank, unit in enumerate(order, start=1) if grades.get(unit, 0) > 0}
            shown[system.name] = {"side": side, "hits": hits, "ranks_of_relevant": ranks}
        yield {"query_id": query, "text": queries.get(query, ""), "judged": grades, "systems": shown}


def _texts(sides: Sequence[Side], used: Used) -> Iterator[dict[str, Any]]:
    for number, side in enumerate(sides):
        collection = side.collection
        for at, chunk_id in enumerate(collection.ids):
            if (number, chunk_id) in used:
                yield {
                    "side": number,
                    "chunk_id": chunk_id,
                    "text": collection.texts[at],
                    "pages": collection.pages[at],
                    "chunks": len(collection.chunks[at]),
                    "tokens": int(collection.tokens[at]),
                }


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with atomic_file(path) as file:
        for line in lines:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
