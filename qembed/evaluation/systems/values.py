"""Values of measures for runs that are deeper than some of the measures should look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qembed.evaluation.measures import Measure, Values, evaluate
from qembed.evaluation.retrieve.depth import RESULTS
from qembed.evaluation.retrieve.pools import first
from qembed.records import Qrels, Run

if TYPE_CHECKING:
    import pandas as pd


def seen_by(measure: Measure, run: Run, limit: int = RESULTS) -> Run:
    """What a measure looks at: without a cutoff the first ``limit`` units, however deep the run is."""
    return run if measure.cutoff is not None else first(run, limit)


def frame_of(qrels: Qrels, run: Run, measures: Sequence[Measure], limit: int = RESULTS) -> pd.DataFrame:
    """As ``evaluate``; a measure without a cutoff looks at the first ``limit`` units."""
    endless = [measure for measure in measures if measure.cutoff is None]
    frame = evaluate(qrels, run, [measure for measure in measures if measure.cutoff is not None])
    if endless:
        frame = frame.join(evaluate(qrels, first(run, limit), endless))
    return frame[[str(measure) for measure in measures]]


def values_of(qrels: Qrels, run: Run, measure: Measure, limit: int = RESULTS) -> Values:
    """One column of ``frame_of``: float64 (queries,), by query id."""
    values: Values = frame_of(qrels, run, [measure], limit)[str(measure)].to_numpy()
    return values
