"""A stored bench, read back: everything that a page shows comes from here."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qembed.errors import InputNotFound, Mismatch
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.kappa import Kappa
from qembed.evaluation.statistics.verdict import Comparison, most_telling
from qembed.evaluation.systems.judges import Judges
from qembed.evaluation.systems.system import headline_pair
from qembed.report.names import display_names

SCHEMA = "qembed.bench/2"
DOCUMENT = "bench.json"
NUMBERED = re.compile(r"(\d{4,})_.*")
_NUMBERS = (
    "difference",
    "low",
    "high",
    "inner_low",
    "inner_high",
    "p",
    "p_adjusted",
    "effect_size",
    "detectable_difference",
)

Values = dict[str, dict[str, float | None]]
"""Query id -> measure -> value; None where it is not defined."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Where one relevant unit ended up, as ``losses.csv`` has it.

    Attributes:
        system: Name of the system.
        query_id: Id of the query.
        unit: The text or page.
        relevance: Its grade.
        stage: ``found``, or the stage at which it was lost.
    """

    system: str
    query_id: str
    unit: str
    relevance: int
    stage: str


@dataclass(frozen=True, slots=True)
class StoredBench:
    """The files of one bench.

    Attributes:
        folder: Where they lie.
        document: ``bench.json``.
        queries: The lines of ``hits.jsonl`` that the numbers rest on; all where nothing is judged.
        waiting: Its other lines: queries of a partly judged set that nobody has judged.
        texts: (side, chunk id) -> line of ``texts.jsonl``.
        values: System -> query -> measure -> value.
        fates: What became of every relevant unit.
        unjudged: Query id, unit, best rank; the most decisive first.
        ranks: System -> query -> unit -> rank from 1; a system whose run was not kept is missing.
    """

    folder: Path
    document: dict[str, Any]
    queries: tuple[dict[str, Any], ...]
    waiting: tuple[dict[str, Any], ...]
    texts: dict[tuple[int, str], dict[str, Any]]
    values: dict[str, Values]
    fates: tuple[Fate, ...]
    unjudged: tuple[tuple[str, str, int], ...]
    ranks: dict[str, dict[str, dict[str, int]]]

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """All lines of ``hits.jsonl``."""
        return (*self.queries, *self.waiting)

    @property
    def systems(self) -> list[dict[str, Any]]:
        """In the order of the table; all others are compared with the first."""
        return list(self.document["systems"])

    @property
    def names(self) -> list[str]:
        """Names of the systems."""
        return [system["name"] for system in self.document["systems"]]

    @property
    def pair(self) -> tuple[int, int]:
        """Positions of the two systems in question: of runs those of the headline, else ``headline_pair``."""
        others = self.systems[1:]
        if not others or others[0]["kind"] != "run":
            return headline_pair(self.names)
        found = [comparison_of(system["comparisons"][self.primary]) for system in others]
        return 1 + most_telling(found), 0

    @property
    def labels(self) -> dict[str, str]:
        """Name of each system -> its name for readers."""
        return display_names(self.document)

    @property
    def judges(self) -> Judges | None:
        """What the verdicts owe to models that judged; None where people alone did, or nobody knows."""
        found = self.document.get("judges")
        if found is None:
            return None
        alone = {name: comparison_of(one) for name, one in found["alone"].items()}
        agreements = {
            model: Kappa(**{**one, **{key: float("nan") for key, value in one.items() if value is None}})
            for model, one in found["agreements"].items()
        }
        return Judges(**{**found, "alone": alone, "agreements": agreements, "units": {}})

    @property
    def judged(self) -> bool:
        """Whether anything is judged; else there are systems and hits, and no measure."""
        return bool(self.document["measures"])

    @property
    def measures(self) -> list[str]:
        """In the order of the columns; the first decides."""
        return list(self.document["measures"])

    @property
    def primary(self) -> str:
        """The measure that decides."""
        return str(self.document["measures"][0])


def find_bench(path: Path) -> Path:
    """The folder of a stored bench: ``path``, that of a ``bench.json``, or the newest below ``path``.

    Raises:
        InputNotFound: There is none.
    """
    path = Path(path)
    if path.name == DOCUMENT and path.is_file():
        return path.parent
    if (path / DOCUMENT).is_file():
        return path
    found = stored_benches(path)
    if not found:
        what = "no stored bench" if path.exists() else "does not exist"
        raise InputNotFound(
            f"{str(path)!r}: {what} (looked for {DOCUMENT})",
            remedy="make one: qembed bench EMBEDDINGS -e EVAL_SET",
        )
    return found[-1]


def stored_benches(reports: Path) -> list[Path]:
    """Folders with a ``bench.json`` below ``reports``, by number; those without one were interrupted."""
    if not reports.is_dir():
        return []
    found = [path for path in reports.iterdir() if (path / DOCUMENT).is_file()]

    def place(path: Path) -> tuple[int, str]:
        numbered = NUMBERED.fullmatch(path.name)
        return (int(numbered[1]) if numbered else 0, path.name)

    return sorted(found, key=place)


def read_document(folder: Path) -> dict[str, Any]:
    """``bench.json`` of a folder.

    Raises:
        Mismatch: It is not one that this version reads.
    """
    path = folder / DOCUMENT
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise Mismatch(
            f"this is no JSON: {error}", where=str(path), remedy="copy it again, or bench again"
        ) from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise Mismatch(
            f"the schema is {schema!r}, this version reads {SCHEMA!r}",
            where=str(path),
            remedy="bench again, or use the version of qembed that wrote it",
        )
    assert isinstance(document, dict)
    return document


def read_bench(path: Path) -> StoredBench:
    """Read a stored bench.

    Args:
        path: Its folder, its ``bench.json``, or a folder of numbered reports, of which the newest is taken.

    Raises:
        InputNotFound: It, or one of its files, is not there.
        Mismatch: A file is not what ``bench`` writes.
    """
    folder = find_bench(path)
    document = read_document(folder)
    texts = {(line["side"], line["chunk_id"]): line for line in _json_lines(folder / "texts.jsonl")}
    along = set(document.get("unjudged_queries", {"shown": []})["shown"])
    lines = list(_json_lines(folder / "hits.jsonl"))
    return StoredBench(
        folder=folder,
        document=document,
        queries=tuple(line for line in lines if line["query_id"] not in along),
        waiting=tuple(line for line in lines if line["query_id"] in along),
        texts=texts,
        values=_values(folder, document["measures"]),
        fates=tuple(
            Fate(row["system"], row["query_id"], row["unit"], int(row["relevance"]), row["stage"])
            for row in _rows(folder / "losses.csv")
        ),
        unjudged=tuple(
            (row["query_id"], row["unit"], int(row["best_rank"])) for row in _rows(folder / "unjudged.csv")
        ),
        ranks=dict(_ranks(folder, document)),
    )


def subdirectory_of(unit: str, level: str) -> str:
    """The subdirectory in a page id ``{subdirectory}/{filename}`` or a chunk id ``{collection}:...``."""
    if level == "page":
        return unit.rpartition("/")[0].partition("/")[0] or "–"
    parts = unit.split(":")
    return parts[1] if len(parts) >= 5 else "–"


def doubtful(system: Mapping[str, Any]) -> bool:
    """Whether the verdict on a system holds only on what was judged (``evaluation.statistics.pool``)."""
    return (system.get("pool") or {"condensed": None})["condensed"] is not None


def comparison_of(document: Mapping[str, Any]) -> Comparison:
    """A comparison as it was before it became JSON, which has no NaN."""
    known = {key: float("nan") if document[key] is None else document[key] for key in _NUMBERS}
    needed = document["queries_needed"]
    return Comparison(**{**document, **known, "queries_needed": None if needed is None else tuple(needed)})


def _values(folder: Path, measures: list[str]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for row in _rows(folder / "per_query.csv"):
        numbers = {name: float(row[name]) if row[name] else None for name in measures}
        found.setdefault(row["system"], {})[row["query_id"]] = numbers
    return found


def _ranks(folder: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, dict[str, int]]]]:
    for system in document["systems"]:
        path = folder / system.get("run", "")
        if system.get("run") and path.is_file():
            run = read_run(path)
            yield (
                system["name"],
                {
                    query: {unit: rank for rank, unit in enumerate(ranked(scores), start=1)}
                    for query, scores in run.items()
                },
            )


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    read = 0
    try:
        with path.open("rb") as file:
            for line in file:
                read += 1
                yield orjson.loads(line)
    except FileNotFoundError as error:
        raise _incomplete(path) from error
    except orjson.JSONDecodeError as error:
        raise Mismatch(
            f"this is no JSON: {error}",
            where=f"{path}, line {read}",
            remedy="copy it again, or bench again",
        ) from None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 30)  # ids and queries may be long
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except FileNotFoundError as error:
        raise _incomplete(path) from error


def _incomplete(path: Path) -> InputNotFound:
    return InputNotFound(
        f"the stored bench has no {path.name}",
        where=str(path.parent),
        remedy="copy the whole folder, or bench again",
    )
