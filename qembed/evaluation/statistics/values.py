"""Values by query, as callers give them, made into samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import Mismatch
from qembed.evaluation.statistics.mean import Sample

if TYPE_CHECKING:
    import pandas as pd

PerQuery: TypeAlias = "pd.Series[float] | npt.NDArray[np.float64] | Sequence[float]"
"""One value per query; NaN where the query has none."""

Groups: TypeAlias = Sequence[object]
"""One label per query; queries of one label are one draw, as paraphrases are."""


def sample_of(
    values: npt.NDArray[np.float64], labels: npt.NDArray[np.int64] | None, lowest: float, highest: float
) -> Sample:
    """Draws of queries, or of groups of them; labels are those of ``labelled``."""
    if labels is None:
        return Sample(values, np.ones(len(values), dtype=np.float64), lowest, highest)
    _, group = np.unique(labels, return_inverse=True)
    return Sample(
        np.bincount(group, weights=values).astype(np.float64),
        np.bincount(group).astype(np.float64),
        lowest,
        highest,
    )


def labelled(groups: Groups, queries: int) -> npt.NDArray[np.int64]:
    """A number for each query's group."""
    if len(groups) != queries:
        raise Mismatch(f"{len(groups)} groups for {queries} queries", remedy="give one label per query")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in groups], dtype=np.int64)


def paired(
    values: PerQuery, baseline: PerQuery, reference: npt.NDArray[np.float64], name: str
) -> npt.NDArray[np.float64]:
    """The values of a system, certain to belong to the baseline's queries."""
    side = f"the values of {name!r}" if name else "the values of the system"
    numbers = numbers_of(values, side)
    if len(numbers) != len(reference):
        raise Mismatch(
            f"{side} are {len(numbers)}, those of the baseline {len(reference)}",
            remedy="evaluate both runs with the same qrels",
        )
    ours: Any = getattr(values, "index", None)
    theirs: Any = getattr(baseline, "index", None)
    if hasattr(ours, "equals") and hasattr(theirs, "equals") and not ours.equals(theirs):
        raise Mismatch(
            f"{side} belong to other queries than those of the baseline, or stand in another order",
            remedy="evaluate both runs with the same qrels",
        )
    return numbers


def numbers_of(values: Any, what: str) -> npt.NDArray[np.float64]:
    """Values as float64 (queries,)."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise Mismatch(f"{what} have {numbers.ndim} dimensions", remedy="give one value per query")
    if np.isinf(numbers).any():
        raise Mismatch(
            f"{what} have an infinite one", remedy="give finite values, NaN where a query has none"
        )
    return numbers
