"""Runs on disk: they keep their order, for us and for trec_eval."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets.trec import falling, read_run, write_run
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Finding

IDS = st.text("abcdef:/ é", min_size=1, max_size=4).filter(lambda name: name.strip() == name)
FEW_SCORES = st.sampled_from([1.0, 0.5, 0.5000000001, 0.0, -0.0, 1e-40, -3.5])
SCORES = st.one_of(FEW_SCORES, st.floats(-1e30, 1e30))
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=8), max_size=4)


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
        "q\tQ0\tc d\t1\t2.0\ta_name",
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


def test_runs_of_other_tools_are_read_by_score(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("1 Q0 a 1 3.5 bm25\n1 Q0 b 2 9 bm25\n2  Q0 a 1 -1e3 bm25\n")
    assert read_run(tmp_path / "r") == {"1": {"a": 3.5, "b": 9.0}, "2": {"a": -1000.0}}


class TestBroken:
    def test_a_line_is_named_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "r").write_text("1 Q0 a 1 3.5\n1 Q0 b 2 9 bm25\n")
        findings: list[Finding] = []
        assert read_run(tmp_path / "r", findings.append) == {"1": {"b": 9.0}}
        assert [(found.kind, found.place.line) for found in findings] == [("bad-row", 1)]
        with pytest.raises(Mismatch, match="5 columns"):
            read_run(tmp_path / "r")

    @pytest.mark.parametrize("score", ["nan", "high"])
    def test_a_score_that_is_no_number(self, tmp_path: Path, score: str) -> None:
        (tmp_path / "r").write_text(f"1 Q0 a 1 2 x\n1 Q0 b 2 {score} x\n")
        with pytest.raises(Mismatch, match="not a number") as caught:
            read_run(tmp_path / "r")
        assert caught.value.where == f"{tmp_path / 'r'}, line 2"

    def test_an_item_twice(self, tmp_path: Path) -> None:
        (tmp_path / "r").write_text("1 Q0 a 1 2 x\n1 Q0 a 2 1 x\n")
        with pytest.raises(Mismatch, match="comes twice"):
            read_run(tmp_path / "r")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            read_run(tmp_path / "absent")

    @pytest.mark.parametrize("score", [float("inf"), float("-inf"), float("nan"), 1e39])
    def test_scores_that_no_run_can_hold(self, tmp_path: Path, score: float) -> None:
        with pytest.raises(Mismatch):
            write_run(tmp_path / "r", {"q": {"a": score}})
        assert not (tmp_path / "r").exists()

    def test_ids_that_would_not_read_back(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            write_run(tmp_path / "r", {"q": {"a\tb": 1.0}})
