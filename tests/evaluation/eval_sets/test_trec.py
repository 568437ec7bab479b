"""Runs on disk: they keep their order, for us and for trec_eval."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.eval_sets.trec import falling, write_runs
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Run

IDS = st.text("abcdef:/ é", min_size=1, max_size=4)
FEW_SCORES = st.sampled_from([1.0, 0.5, 0.5000000001, 0.0, -0.0, 1e-40, -3.5])
SCORES = st.one_of(FEW_SCORES, st.floats(-1e30, 1e30))
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=8), max_size=4)


def write_run(path: Path, run: Run, name: str = "qembed") -> None:
    write_runs(path.parent, {path.name: (name, run)}, {}, "qrels.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=RUNS)
def test_a_run_reads_back_in_its_order_whatever_breaks_ties(
    tmp_path: Path, run: dict[str, dict[str, float]]
) -> None:
    write_run(tmp_path / "r", run)
    again = read_run(tmp_path / "r")
    assert list(again) == list(run)
    for query, scores in run.items():
        order = ranked(scores)
        assert ranked(again[query]) == order
        singles = {item: float(np.float32(score)) for item, score in again[query].items()}
        assert sorted(singles, key=lambda item: (singles[item], item), reverse=True) == order


@given(st.lists(SCORES, max_size=20))
def test_scores_that_fall_already_are_kept(scores: list[float]) -> None:
    scores.sort(reverse=True)
    written = falling("q", scores)
    singles = [np.float32(score) for score in written]
    assert all(above > below for above, below in pairwise(singles))
    if len({np.float32(score) for score in scores}) == len(scores):
        assert written == scores


def test_the_file_to_the_letter(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"q": {"b": 0.1, "a": 0.1, "c d": 2.0}}, name="a name")
    lower = float(np.nextafter(np.float32(0.1), np.float32(-1)))
    assert (tmp_path / "r").read_text().splitlines() == [
        "q\tQ0\tc%20d\t1\t2.0\ta_name",
        "q\tQ0\ta\t2\t0.1\ta_name",
        f"q\tQ0\tb\t3\t{lower!r}\ta_name",
    ]


def test_trec_eval_reads_the_same_order(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run = {"q": {f"d{number}": float(number // 5) for number in range(20)}}
    relevant = ranked(run["q"])[3]
    write_run(tmp_path / "r", run)
    with (tmp_path / "r").open() as file:
        parsed = pytrec_eval.parse_run(file)
    values = pytrec_eval.RelevanceEvaluator({"q": {relevant: 1}}, {"recip_rank"}).evaluate(parsed)
    assert values["q"]["recip_rank"] == 1 / 4


class TestBroken:
    @pytest.mark.parametrize("score", [float("inf"), float("-inf"), float("nan"), 1e39])
    def test_scores_that_no_run_can_hold(self, tmp_path: Path, score: float) -> None:
        with pytest.raises(Mismatch):
            write_run(tmp_path / "r", {"q": {"a": score}})
        assert not (tmp_path / "r").exists()
