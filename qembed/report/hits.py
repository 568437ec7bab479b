"""What each system showed for each query, with the texts: for people who look at single queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run
from qembed.store import atomic_file

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = 20
"""Hits of each system that are stored for each query."""

Used: TypeAlias = set[tuple[int, str]]
"""Side and chunk id of every hit."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One system, as far as single queries are concerned.

    Attributes:
        name: As it is shown.
        run: Query id -> unit -> score.
        values: Index query id, a column for each measure.
        side: Which of the sides its texts are of.
        found_by: Query id -> unit -> the chunk whose text it was found by; a unit is its own chunk without.
    """

    name: str
    run: Run
    values: pd.DataFrame
    side: int = 0
    found_by: Callable[[str], Mapping[str, str]] = lambda _: {}


def write_hits(
    folder: Path,
    shown: Sequence[Shown],
    qrels: Qrels,
    queries: Mapping[str, str],
    texts: Callable[[Used], Iterable[dict[str, Any]]],
    by_models: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write ``hits.jsonl``, one line per query, and ``texts.jsonl``, each text that is shown once.

    A hit is the judged unit, the chunk whose text it was found by, and its score; the chunk's text, where it
    is known, is that of the same ``side`` in ``texts.jsonl``. A query's line has what was judged for it,
    which grades are a model's, and the rank of every relevant unit among all candidates of each system.

    Args:
        folder: Folder of the report.
        shown: In the order of the table.
        qrels: Over units.
        queries: Query id -> text.
        texts: Lines of ``texts.jsonl`` for the hits that were written.
        by_models: Query id -> unit -> the model that graded it, where no person did.

    Raises:
        QembedError: The disk is full or cannot be written.
    """
    used: Used = set()
    _write(folder / "hits.jsonl", _queries(shown, qrels, queries, used, by_models or {}))
    _write(folder / "texts.jsonl", texts(used))


def _queries(
    shown: Sequence[Shown],
    qrels: Qrels,
    queries: Mapping[str, str],
    used: Used,
    by_models: Mapping[str, Mapping[str, str]],
) -> Iterator[dict[str, Any]]:
    for query, grades in qrels.items():
        systems: dict[str, Any] = {}
        for one in shown:
            found = one.found_by(query)
            scores = one.run.get(query, {})
            order = ranked(scores)
            hits: list[dict[str, Any]] = [
                {"unit": unit, "chunk_id": found.get(unit, unit), "score": scores[unit]}
                for unit in order[:SHOWN]
            ]
            used.update((one.side, hit["chunk_id"]) for hit in hits)
            ranks = {unit: rank for rank, unit in enumerate(order, start=1) if grades.get(unit, 0) > 0}
            systems[one.name] = {"side": one.side, "hits": hits, "ranks_of_relevant": ranks}
        yield {
            "query_id": query,
            "text": queries.get(query, ""),
            "judged": grades,
            **({"by_models": by_models[query]} if query in by_models else {}),
            "systems": systems,
        }


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with atomic_file(path) as file:
        for line in lines:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
