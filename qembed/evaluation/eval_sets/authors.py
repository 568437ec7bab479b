"""Who gave each grade of an eval set: a person, or a language model, whose name is then known.

The files of BEIR have no place for it, so it is in ``judgements.jsonl`` beside them: the log of all that was
ever merged, in order. A judge whose name begins with ``model:`` is a model; all others are people. A grade
that the log does not know is a person's, unless the card says that a model judged; so is one that was changed
by hand since.

People's grades outrank those of models: ``merge-judgements`` keeps and replaces by that rule. So a pair that
both graded counts with the person's grade, and the model's serves to measure how far the model agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final, TypeAlias

import orjson

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.findings import refuse
from qembed.evaluation.eval_sets.lines import text_lines
from qembed.records import Qrels

LOG: Final = "judgements.jsonl"
MODEL_PREFIX: Final = "model:"
"""Begins the name of a judge that is a model."""

UNNAMED: Final = "a language model"
"""What cards say where nobody knows which."""

Pair: TypeAlias = tuple[str, str]
"""Query id and item id."""

_KEYS = ("query_id", "item_id", "grade", "judge", "judged_at", "qrels", "outcome")
_NAMES_A_MODEL = re.compile(r"\b(model|llm)s?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Authors:
    """Who graded what of one split.

    Attributes:
        models: Each pair whose grade in the qrels is a model's -> name of the model.
        people: The grades of people alone; also where the qrels hold a model's grade of the same pair.
        graded: Model -> all grades that it ever gave, its last one of each pair.
    """

    models: Mapping[Pair, str] = field(default_factory=dict)
    people: Qrels = field(default_factory=dict)
    graded: Mapping[str, Mapping[Pair, int]] = field(default_factory=dict)

    def by_model(self) -> dict[str, int]:
        """Model -> number of grades in the qrels that are its."""
        names = list(self.models.values())
        return {name: names.count(name) for name in sorted(set(names))}

    def on_both(self, model: str) -> list[tuple[int, int]]:
        """Grades of a person and of the model, of every pair that both graded."""
        people = ((pair, self.people.get(pair[0], {}).get(pair[1])) for pair in self.graded[model])
        return [(grade, self.graded[model][pair]) for pair, grade in people if grade is not None]


def is_model(judge: str) -> bool:
    """Whether this judge is a model."""
    return judge.startswith(MODEL_PREFIX)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The entries of the log in a folder, in order; none where there is no log.

    Raises:
        Mismatch: A line is no judgement.
    """
    path = folder / LOG
    if not path.is_file():
        return []
    entries = []
    for number, line in text_lines(path, refuse):
        try:
            entry = orjson.loads(line)
            if any(key not in entry for key in _KEYS):
                raise KeyError
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Mismatch(
                f"a line of the log is no judgement: {line[:60]!r}",
                where=f"{path}, line {number}",
                remedy="restore the log from a copy, or move it away: it says who gave which grade",
            ) from None
        entries.append(entry)
    return entries


def authors_of(qrels: Qrels, log: Iterable[Mapping[str, Any]], split: str, judged_by: str) -> Authors:
    """Replay the log.

    Args:
        qrels: As they are now.
        log: As ``read_log`` gives it.
        split: Which one; the log has the name of its file.
        judged_by: What the card says.
    """
    entries = list(log)
    before = _unlogged(judged_by, logged=bool(entries))
    entries = [entry for entry in entries if PurePath(entry["qrels"]).stem == split]
    held: dict[Pair, tuple[int, str | None]] = {}
    said: dict[Pair, int] = {}
    graded: dict[str, dict[Pair, int]] = {}
    for entry in entries:
        pair = entry["query_id"], entry["item_id"]
        judge, grade, outcome = entry["judge"], entry["grade"], entry["outcome"]
        model = judge.removeprefix(MODEL_PREFIX) if is_model(judge) else None
        if model is None:
            said[pair] = grade
        else:
            graded.setdefault(model, {})[pair] = grade
        if outcome in ("added", "replaced"):
            held[pair] = grade, model
        elif outcome == "same":
            held[pair] = grade, None if model is None else held.get(pair, (grade, before))[1]
    models: dict[Pair, str] = {}
    people: Qrels = {}
    for query, grades in qrels.items():
        for item, grade in grades.items():
            then, author = held.get((query, item), (grade, before))
            if author is not None and then == grade:
                models[query, item] = author
            if (query, item) not in models or (query, item) in said:
                own = grade if (query, item) not in models else said[query, item]
                people.setdefault(query, {})[item] = own
    return Authors(models, people, graded)


def judged_by_words(authors: Authors, before: str) -> str:
    """What the card says of who judged, once the log knows a model; ``before`` is what it said."""
    parts = []
    if authors.people:
        parts.append(before if before and not _NAMES_A_MODEL.search(before) else "people")
    parts += sorted({name for name in authors.models.values() if name not in authors.graded})
    if authors.graded:
        parts.append(named(authors.graded))
    return " and ".join(parts)


def counted_words(by_model: dict[str, int], grades: int) -> str:
    """``212 of 252 grades are by a model (tiny), not by people``; empty where none is."""
    by_models = sum(by_model.values())
    if not by_models:
        return ""
    of = f"All {grades:,}" if by_models == grades else f"{by_models:,} of {grades:,}"
    return f"{of} grades are by {named(by_model)}, not by people"


def named(models: Iterable[str]) -> str:
    """``a language model (one, two)``, with the names that are known."""
    names = sorted(set(models) - {UNNAMED})
    return f"{UNNAMED} ({', '.join(names)})" if names else UNNAMED


def _unlogged(judged_by: str, *, logged: bool) -> str | None:
    """Who gave the grades that the log does not know: a model's name, or None for people.

    Where people and models both judged and the log is gone, nobody knows which grades are people's.
    """
    if not _NAMES_A_MODEL.search(judged_by) or (logged and judged_by.startswith("people")):
        return None
    return judged_by
