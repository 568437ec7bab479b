"""Measures of a run: what nDCG@10, recall@100 and the others are here, to the last tie and the last hole.

The numbers come from ranx and from ``formulas``; what they leave open is settled around them:

- Order: ``ordering.ranked`` (score descending, then item id), never the order in which scores arrived.
- A query of the qrels that the run lacks, or for which it found nothing, counts 0.
- A query without any relevant item has no value (NaN) and is left out of means; ``judged@k`` alone has one.
- An item that was never judged (a hole) counts as irrelevant; ``judged@k`` says how many there are.
- Queries of the run that the qrels do not know are ignored; ``unknown_queries`` lists them.

With these the values are those of trec_eval, to 1e-9 (docs/measures.md has the table).
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import Mismatch, UsageError
from qembed.evaluation import formulas
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run

if TYPE_CHECKING:
    import pandas as pd

Values: TypeAlias = npt.NDArray[np.float64]
"""float64, shape (queries,); NaN where a query has no value."""

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "nDCG": ("ndcg",),
    "recall": ("recall", "r"),
    "precision": ("precision", "p"),
    "MRR": ("mrr", "rr", "reciprank", "reciprocalrank"),
    "MAP": ("map", "ap"),
    "hit": ("hit", "hitrate", "success", "accuracy"),
    "Rprec": ("rprec", "rprecision"),
    "bpref": ("bpref",),
    "RBP": ("rbp", "rankbiasedprecision"),
    "ERR": ("err", "expectedreciprocalrank"),
    "expnDCG": ("expndcg", "ndcgexp", "ndcgburges"),
    "capped_recall": ("cappedrecall", "recallcap", "rcap"),
    "judged": ("judged",),
}
"""Measure -> its spellings (ir_measures, trec_eval, ranx, BEIR), in lower case without ``_`` and ``-``."""

_NAMES: Final = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
_NEED_CUTOFF: Final = ("recall", "precision", "hit", "capped_recall", "judged")
_WITHOUT_CUTOFF: Final = {
    "Rprec": "it stops at the number of relevant items",
    "bpref": "it looks at every judged item",
}
_WITHOUT_REL: Final = ("nDCG", "expnDCG", "ERR", "judged")
PERSISTENCE: Final = 0.8
"""p of RBP unless another is given; as ir_measures."""
_EXAMPLES: Final = (
    "nDCG@10, recall@100, precision@10, MRR@10, MAP@100, hit@10 (success@10), Rprec, bpref, RBP(p=0.8), "
    "ERR@10, expnDCG@10, capped_recall@10, judged@10; recall(rel=2)@10 counts only items of grade 2 and more"
)
_MEASURE: Final = re.compile(
    r"(?P<name>[a-z][a-z_\-]*?)"
    r"(\((?P<parameters>(rel=\d+|p=\d*\.\d+)(,(rel=\d+|p=\d*\.\d+))*)\))?"
    r"((@|_cut_|_at_|_)(?P<cutoff>\d+))?",
    re.IGNORECASE,
)
_EXPONENTIAL: Final = re.compile(r"ndcg\((gain=exp|dcg='?exp-log2'?)\)", re.IGNORECASE)
"""As ir_measures writes it."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure with its parameters; ``str`` writes it as ``parse_measure`` reads it.

    Attributes:
        name: One of ``SPELLINGS``.
        cutoff: How many items of a run's list count; None for all of them.
        rel: The least grade that counts as relevant. nDCG and ERR use the grades themselves.
        p: Persistence of RBP: the probability that a reader goes on to the next result. None for the others.

    Raises:
        UsageError: There is no such measure, or not with these parameters.
    """

    name: str
    cutoff: int | None = None
    rel: int = 1
    p: float | None = None

    def __post_init__(self) -> None:
        if self.name not in SPELLINGS:
            raise UsageError(f"there is no measure {self.name!r}", remedy=f"use one of {_EXAMPLES}")
        if self.cutoff is None and self.name in _NEED_CUTOFF:
            raise UsageError(f"{self.name} needs a cutoff", remedy=f"write for instance {self.name}@10")
        if self.cutoff is not None and self.name in _WITHOUT_CUTOFF:
            raise UsageError(
                f"{self.name} takes no cutoff: {_WITHOUT_CUTOFF[self.name]}", remedy=f"write {self.name}"
            )
        if self.cutoff is not None and self.cutoff < 1:
            raise UsageError(f"the cutoff of {self.name} is {self.cutoff}", remedy="write 1 or more")
        if self.rel < 1:
            raise UsageError(f"rel={self.rel} would count irrelevant items", remedy="write 1 or more")
        if self.rel != 1 and self.name in _WITHOUT_REL:
            raise UsageError(f"{self.name} takes no rel", remedy="leave out (rel=...)")

        if self.name == "RBP":
            object.__setattr__(self, "p", PERSISTENCE if self.p is None else self.p)
        if self.p is not None and (self.name != "RBP" or not 0 < self.p < 1):
            raise UsageError(
                f"p={self.p} is no persistence of {self.name}", remedy="RBP(p=0.8), with p between 0 and 1"
            )

    def __str__(self) -> str:
        chosen = [f"p={self.p:g}"] if self.p is not None else []
        chosen += [f"rel={self.rel}"] if self.rel != 1 else []
        parameters = f"({','.join(chosen)})" if chosen else ""
        return f"{self.name}{parameters}" + (f"@{self.cutoff}" if self.cutoff is not None else "")

    def __lt__(self, other: Measure) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, float, int, float]:
        cutoff = float("inf") if self.cutoff is None else self.cutoff
        return list(SPELLINGS).index(self.name), self.p or 0.0, self.rel, cutoff


def parse_measure(text: str) -> Measure:
    """``nDCG@10`` and its usual spellings: ``ndcg_cut_10``, ``R@100``, ``P@5``, ``RR@10``, ``Success@1``,
    ``RBP(p=0.95,rel=2)``.

    Raises:
        UsageError: It is none of the known measures, or has a parameter that the measure does not take.
    """
    match = _MEASURE.fullmatch(_EXPONENTIAL.sub("expnDCG", re.sub(r"\s", "", text)))
    name = _NAMES.get(re.sub(r"[_\-]", "", match["name"]).lower()) if match else None
    if match is None or name is None:
        raise UsageError(f"there is no measure {text!r}", remedy=f"use one of {_EXAMPLES}")
    cutoff = None if match["cutoff"] is None else int(match["cutoff"])
    pairs = (part.partition("=") for part in (match["parameters"] or "").lower().split(",") if part)
    chosen = {key: value for key, _, value in pairs}
    p = float(chosen["p"]) if "p" in chosen else None
    return Measure(name, cutoff, int(chosen.get("rel", 1)), p)


def deciding_measure(text: str) -> Measure:
    """A measure on which one ranking can be better than another.

    Raises:
        UsageError: It is unknown, or tells nothing of quality.
    """
    measure = parse_measure(text)
    if measure.name == "judged":
        raise UsageError(f"{measure} tells how much was judged, not how good it is", remedy="take nDCG@10")
    return measure


def evaluate(qrels: Qrels, run: Run, measures: Iterable[Measure | str]) -> pd.DataFrame:
    """Every measure of every query.

    Args:
        qrels: Grades; integer ids are taken as text, negative grades as 0.
        run: Scores; integer ids are taken as text.
        measures: What to compute, as ``Measure`` or in words; one given twice is computed once.

    Returns:
        Index ``query_id``: every query of the qrels, sorted. Columns: ``str(measure)`` in the order given;
        float64, NaN where a query has no value. ``frame.mean()`` leaves those out, as it should.

    Raises:
        UsageError: A measure is unknown.
        Mismatch: A score is NaN, a grade is no whole number, or two ids are the same as text.
    """
    import pandas as pd

    chosen = list(dict.fromkeys(parse_measure(item) if isinstance(item, str) else item for item in measures))
    grades = text_grades(qrels)
    query_ids = sorted(grades)
    lists = ordered_lists(run, grades)
    columns: dict[str, Values] = {}
    engine = _Engine([grades[query] for query in query_ids], [lists[query] for query in query_ids])
    for measure in chosen:
        columns[str(measure)] = engine.values(measure)
    return pd.DataFrame(columns, index=pd.Index(query_ids, name="query_id", dtype=object), dtype=np.float64)


def unknown_queries(qrels: Qrels, run: Run) -> list[str]:
    """Queries of the run that the qrels do not have, sorted; ``evaluate`` ignores them."""
    return sorted({str(query) for query in run} - {str(query) for query in qrels})


def missing_queries(qrels: Qrels, run: Run) -> list[str]:
    """Queries of the qrels for which the run has nothing, sorted; ``evaluate`` counts them 0."""
    return sorted({str(query) for query in qrels} - {str(query) for query, scores in run.items() if scores})


class _Engine:
    """ranx with our definitions around it: queries in one order, each query's items as small numbers.

    Relevant items are numbered 0, 1, ... by grade; every other item is -1. So neither ranx's order of ties
    nor its hashing of ids (64 bits in a float of 53) plays a part.
    """

    def __init__(self, grades: Sequence[Mapping[str, int]], lists: Sequence[Sequence[str]]) -> None:
        self.grades = grades
        self.lists = lists
        self.highest = max((grade for judged in grades for grade in judged.values()), default=1)
        self._arrays: tuple[Any, Any] | None = None

    def values(self, measure: Measure) -> Values:
        """float64 (queries,)."""
        if not self.grades:
            return np.empty(0)
        answerable = [any(grade >= measure.rel for grade in grades.values()) for grades in self.grades]
        if measure.name in _BY_QUERY:
            return np.array([self._one(measure, at, known) for at, known in enumerate(answerable)])
        from numba.core.errors import NumbaWarning

        if self._arrays is None:
            self._arrays = _ranx_arrays(self.grades, self.lists)
        with _LOCK, warnings.catch_warnings():
            # The first call compiles, and numba then warns of a cast of its own loop counter.
            warnings.simplefilter("ignore", NumbaWarning)
            values = np.array(
                _ranx_function(measure.name)(*self._arrays, measure.cutoff or 0, measure.rel),
                dtype=np.float64,
            )
        values[~np.array(answerable)] = np.nan
        return values

    def _one(self, measure: Measure, at: int, answerable: bool) -> float:
        grades, items = self.grades[at], self.lists[at][: measure.cutoff]
        if not answerable and measure.name != "judged":
            return float("nan")
        return _BY_QUERY[measure.name](measure, grades, items, self.highest)


_BY_QUERY: Final[Mapping[str, Callable[[Measure, Mapping[str, int], Sequence[str], int], float]]] = {
    "bpref": lambda measure, grades, items, _: formulas.bpref(grades, items, measure.rel),
    "RBP": lambda measure, grades, items, _: formulas.rank_biased_precision(
        grades, items, measure.rel, measure.p or PERSISTENCE
    ),
    "ERR": lambda _, grades, items, highest: formulas.expected_reciprocal_rank(grades, items, highest),
    "expnDCG": lambda measure, grades, items, _: formulas.exponential_ndcg(grades, items, measure.cutoff),
    "capped_recall": lambda measure, grades, items, _: formulas.capped_recall(
        grades, items, measure.rel, measure.cutoff or len(items)
    ),
    "judged": lambda _, grades, items, __: formulas.judged_share(grades, items),
}
_LOCK: Final = threading.Lock()  # numba's "workqueue" threads, which ranx chooses, abort on concurrent calls


def _ranx_function(name: str) -> Callable[[Any, Any, int, int], Values]:
    from ranx import metrics

    functions: dict[str, Callable[[Any, Any, int, int], Values]] = {
        "nDCG": metrics.ndcg,
        "recall": metrics.recall,
        "precision": metrics.precision,
        "MRR": metrics.reciprocal_rank,
        "MAP": metrics.average_precision,
        "hit": metrics.hit_rate,
        "Rprec": metrics.r_precision,
    }
    return functions[name]


def _ranx_arrays(grades: Sequence[Mapping[str, int]], lists: Sequence[Sequence[str]]) -> tuple[Any, Any]:
    """Two numba lists with one float64 array (items, 2) per query: number of the item, grade or score."""
    from numba.typed import List

    relevant, retrieved = List(), List()
    for judged, items in zip(grades, lists, strict=True):
        best_first = sorted((item for item in judged if judged[item] > 0), key=lambda item: -judged[item])
        number = {item: float(position) for position, item in enumerate(best_first)}
        relevant.append(
            np.array([(number[item], judged[item]) for item in best_first], dtype=np.float64).reshape(-1, 2)
        )
        rows = np.empty((len(items), 2), dtype=np.float64)
        rows[:, 0] = [number.get(item, -1.0) for item in items]
        rows[:, 1] = np.arange(len(items), 0, -1)
        retrieved.append(rows)
    return relevant, retrieved


def text_grades(qrels: Qrels) -> dict[str, dict[str, int]]:
    """Ids as text, grades as whole numbers of 0 and more.

    Raises:
        Mismatch: A grade is no whole number, or two ids are the same as text.
    """
    result: dict[str, dict[str, int]] = {}
    for query, judged in _by_text(qrels, "queries of the qrels", None).items():
        result[query] = {
            item: _grade(grade, query, item) for item, grade in _by_text(judged, "items", query).items()
        }
    return result


def ordered_lists(run: Run, queries: Iterable[str]) -> dict[str, list[str]]:
    """Query -> its items, best first by ``ordering.ranked``; queries that the run lacks have none.

    Raises:
        Mismatch: A score is NaN, or two ids are the same as text.
    """
    known = _by_text(run, "queries of the run", None)
    result: dict[str, list[str]] = {}
    for query in queries:
        try:
            result[query] = ranked(_by_text(known.get(query, {}), "items", query))
        except Mismatch as error:
            raise Mismatch(error.message, where=f"query {query!r}", remedy=error.remedy) from None
    return result


def _by_text(mapping: Mapping[Any, Any], what: str, query: str | None) -> dict[str, Any]:
    result = {str(key): value for key, value in mapping.items()}
    if len(result) != len(mapping):
        raise Mismatch(
            f"two {what} have the same id once written as text",
            where=None if query is None else f"query {query!r}",
            remedy="give ids as text, each once",
        )
    return result


def _grade(grade: Any, query: str, item: str) -> int:
    if isinstance(grade, int | np.integer) or float(grade).is_integer():
        return max(int(grade), 0)
    raise Mismatch(
        f"the grade of {item!r} is {grade}, which is not a whole number",
        where=f"query {query!r}",
        remedy="grades are 0 (irrelevant), 1, 2, ...: round them, or multiply all of them by one number",
    )
