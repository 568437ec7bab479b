"""Measures against values worked out by hand, and against trec_eval on random runs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.measures import (
    SPELLINGS,
    Measure,
    evaluate,
    missing_queries,
    parse_measure,
    unknown_queries,
)
from qembed.evaluation.retrieve.ordering import ranked

# Ours -> trec_eval's, and the cutoff to which a run is cut first where trec_eval has none of its own.
TREC = {
    "nDCG": ("ndcg", None),
    "nDCG@3": ("ndcg_cut.3", None),
    "nDCG@10": ("ndcg_cut.10", None),
    "recall@3": ("recall.3", None),
    "recall@100": ("recall.100", None),
    "precision@3": ("P.3", None),
    "precision@10": ("P.10", None),
    "MRR": ("recip_rank", None),
    "MRR@3": ("recip_rank", 3),
    "MAP": ("map", None),
    "MAP@3": ("map_cut.3", None),
    "hit@1": ("success.1", None),
    "hit@3": ("success.3", None),
    "Rprec": ("Rprec", None),
    "bpref": ("bpref", None),
}
ITEMS = [f"d{number}" for number in range(12)]
GRADES = st.dictionaries(st.sampled_from(ITEMS), st.integers(-1, 3), max_size=8)
SCORES = st.dictionaries(st.sampled_from(ITEMS), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]), max_size=12)
QUERIES = st.sampled_from(["q1", "q2", "q3", "q10"])
QRELS = st.dictionaries(QUERIES, GRADES, max_size=4)
RUNS = st.dictionaries(QUERIES, SCORES, max_size=4)


def by_trec_eval(grades, scores, text, rel):
    """One query's value by trec_eval, which sees our order as scores without ties."""
    name, cut = TREC[text]
    order = ranked(scores)[:cut]
    if not order:
        return 0.0
    run = {"q": {item: float(len(order) - place) for place, item in enumerate(order)}}
    if name == "bpref":  # which takes what is graded below 0 as unjudged
        grades = {item: max(grade, 0) for item, grade in grades.items()}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, {name}, relevance_level=rel)
    return evaluator.evaluate(run)["q"][name.replace(".", "_")]


def by_ranx(grades, order, function, *parameters):
    """One query's value by ranx, which sees our order as scores without ties."""
    import numba

    relevant = [(ITEMS.index(item), grade) for item, grade in grades.items() if grade > 0]
    relevant.sort(key=lambda pair: -pair[1])
    found = [(ITEMS.index(item), len(order) - place) for place, item in enumerate(order)]
    arrays = [
        numba.typed.List([np.array(rows, dtype=np.float64).reshape(-1, 2)]) for rows in (relevant, found)
    ]
    return function(*arrays, *parameters)[0]


@pytest.mark.filterwarnings("ignore:.*:numba.core.errors.NumbaWarning")
@given(grades=GRADES, scores=SCORES, rel=st.integers(1, 2), p=st.sampled_from([0.5, 0.8, 0.95]))
def test_agrees_with_ranx_where_trec_eval_has_no_such_measure(grades, scores, rel, p):
    from ranx import metrics

    measures = [Measure("RBP", None, rel, p), Measure("expnDCG", 3), Measure("expnDCG")]
    row = evaluate({"q": grades}, {"q": scores}, measures).loc["q"]
    order = ranked(scores)
    if any(grade >= rel for grade in grades.values()):
        binary = {item: int(grade >= rel) for item, grade in grades.items()}  # ranx multiplies by the grade
        expected = by_ranx(binary, order, metrics.rank_biased_precision, p, 1) if order else 0.0
        assert row[str(measures[0])] == pytest.approx(expected, abs=1e-9)
    if any(grade > 0 for grade in grades.values()):
        for measure in measures[1:]:
            expected = by_ranx(grades, order, metrics.ndcg_burges, measure.cutoff or 0) if order else 0.0
            assert row[str(measure)] == pytest.approx(expected, abs=1e-9)


@given(qrels=QRELS, run=RUNS)
def test_expected_reciprocal_rank_is_where_a_reader_stops(qrels, run):
    """By the joint distribution of stopping points, without the recurrence."""
    highest = max((grade for grades in qrels.values() for grade in grades.values()), default=1)
    frame = evaluate(qrels, run, ["ERR@3"])
    for query, grades in qrels.items():
        if not any(grade > 0 for grade in grades.values()):
            assert math.isnan(frame.loc[query, "ERR@3"])
            continue
        stops = [
            (2 ** max(grades.get(item, 0), 0) - 1) / 2**highest for item in ranked(run.get(query, {}))[:3]
        ]
        expected = sum(
            math.prod(1 - one for one in stops[:at]) * stop / (at + 1) for at, stop in enumerate(stops)
        )
        assert frame.loc[query, "ERR@3"] == pytest.approx(expected, abs=1e-12)


@given(qrels=QRELS, run=RUNS)
def test_capped_recall_is_recall_over_what_is_possible(qrels, run):
    frame = evaluate(qrels, run, ["capped_recall@3", "recall@3"])
    for query, grades in qrels.items():
        relevant = sum(grade > 0 for grade in grades.values())
        if relevant:
            expected = frame.loc[query, "recall@3"] * relevant / min(relevant, 3)
            assert frame.loc[query, "capped_recall@3"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bpref", 1 / 3 * (1 + (1 - 1 / 2))),  # 3 relevant, 2 judged irrelevant, one of them above the second
        ("RBP(p=0.5)", 0.5 * (1 + 0.125)),
        ("RBP(p=0.5,rel=2)", 0.5 * 0.125),
        ("ERR", 1 / 4 * 1 + (3 / 4) * (3 / 4) / 4),
        ("expnDCG@4", (1 + 3 / math.log2(5)) / (3 + 1 / math.log2(3) + 1 / 2)),
        ("capped_recall@2", 1 / 2),
        ("Success@1", 1.0),
    ],
)
def test_by_hand(text, value):
    grades = {"a": 1, "b": 2, "c": 1, "no": 0, "nor": 0}
    run = {"a": 4.0, "no": 3.0, "unjudged": 2.0, "b": 1.0}
    frame = evaluate({"q": grades}, {"q": run}, [text])
    assert frame.iloc[0, 0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("rel", [1, 2])
@given(qrels=QRELS, run=RUNS)
def test_agrees_with_trec_eval(qrels, run, rel):
    chosen = {
        text: parse_measure(text) if rel == 1 else Measure(at.name, at.cutoff, rel)
        for text in TREC
        if (at := parse_measure(text)).name != "nDCG" or rel == 1
    }
    frame = evaluate(qrels, run, chosen.values())
    for query, grades in qrels.items():
        for text, measure in chosen.items():
            value = frame.loc[query, str(measure)]
            if not any(grade >= rel for grade in grades.values()):
                assert math.isnan(value), (query, text)
                continue
            expected = by_trec_eval(grades, run.get(query, {}), text, rel)
            assert value == pytest.approx(expected, abs=1e-9), (query, text)


@given(qrels=QRELS, run=RUNS)
def test_a_row_for_every_query_of_the_qrels(qrels, run):
    frame = evaluate(qrels, run, ["nDCG@10", "judged@2"])
    assert list(frame.index) == sorted(qrels)
    assert frame.index.name == "query_id"
    assert list(frame.columns) == ["nDCG@10", "judged@2"]
    assert (frame.dtypes == np.float64).all()
    assert ((frame >= 0) & (frame <= 1) | frame.isna()).all(axis=None)


@given(grades=GRADES, scores=SCORES)
def test_the_order_in_which_items_come_does_not_matter(grades, scores):
    measures = ["nDCG@3", "recall@3", "MRR", "MAP", "judged@3"]
    turned = dict(reversed(scores.items()))
    one = evaluate({"q": grades}, {"q": scores}, measures)
    other = evaluate({"q": dict(reversed(grades.items()))}, {"q": turned}, measures)
    assert one.equals(other)


@given(grades=GRADES, scores=SCORES)
def test_the_best_order_has_an_ndcg_of_one(grades, scores):
    best = {item: float(grade) for item, grade in grades.items() if grade > 0}
    value = evaluate({"q": grades}, {"q": best or scores}, ["nDCG@10"]).loc["q", "nDCG@10"]
    assert math.isnan(value) if not best else value == pytest.approx(1)


# Relevant: a (grade 2), b (1), c (1). The list: x, a, y, b; y was judged irrelevant, x never.
BY_HAND = {
    "nDCG": (2 / math.log2(3) + 1 / math.log2(5)) / (2 + 1 / math.log2(3) + 1 / 2),
    "nDCG@2": (2 / math.log2(3)) / (2 + 1 / math.log2(3)),
    "recall@2": 1 / 3,
    "recall@10": 2 / 3,
    "recall(rel=2)@10": 1.0,
    "precision@2": 1 / 2,
    "precision@10": 2 / 10,
    "precision(rel=2)@4": 1 / 4,
    "MRR": 1 / 2,
    "MRR@1": 0.0,
    "MAP": (1 / 2 + 2 / 4) / 3,
    "MAP@2": (1 / 2) / 3,
    "hit@1": 0.0,
    "hit@2": 1.0,
    "Rprec": 1 / 3,
    "Rprec(rel=2)": 0.0,
    "judged@1": 0.0,
    "judged@2": 1 / 2,
    "judged@10": 3 / 4,
}


@pytest.mark.parametrize(("text", "value"), BY_HAND.items())
def test_values_by_hand(text, value):
    qrels = {"q": {"a": 2, "b": 1, "c": 1, "y": 0}}
    run = {"q": {"b": 0.1, "y": 0.2, "a": 0.3, "x": 0.4}}
    assert evaluate(qrels, run, [text]).loc["q", text] == pytest.approx(value, abs=1e-12)


def test_equal_scores_stand_in_the_order_of_their_ids():
    qrels = {"q": {"b": 1}}
    assert evaluate(qrels, {"q": {"b": 1.0, "a": 1.0}}, ["MRR"]).loc["q", "MRR"] == 1 / 2
    assert evaluate(qrels, {"q": {"b": 1.0, "c": 1.0}}, ["MRR"]).loc["q", "MRR"] == 1


def test_a_query_that_the_run_lacks_counts_zero_and_one_without_relevant_items_is_left_out():
    qrels = {"lacking": {"a": 1}, "empty": {"a": 1}, "found": {"a": 1}, "nothing": {"a": 0}, "unjudged": {}}
    run = {
        "empty": {},
        "found": {"a": 1.0},
        "nothing": {"a": 1.0},
        "unjudged": {"a": 1.0},
        "strange": {"a": 1.0},
    }
    frame = evaluate(qrels, run, ["recall@1", "judged@1"])
    assert frame["recall@1"].dropna().to_dict() == {"lacking": 0.0, "empty": 0.0, "found": 1.0}
    assert frame["recall@1"].mean() == pytest.approx(1 / 3)
    assert frame["judged@1"].dropna().to_dict() == {"found": 1.0, "nothing": 1.0, "unjudged": 0.0}
    assert unknown_queries(qrels, run) == ["strange"]
    assert missing_queries(qrels, run) == ["empty", "lacking"]


@pytest.mark.parametrize("run", [{}, {"q": {}}, {"other": {"a": 1.0}}])
def test_runs_that_found_nothing(run):
    frame = evaluate({"q": {"a": 1}}, run, [*TREC, "judged@10"])
    assert (frame[list(TREC)] == 0).all(axis=None)
    assert frame["judged@10"].isna().all()


def test_without_queries_there_are_no_rows():
    frame = evaluate({}, {"q": {"a": 1.0}}, ["nDCG@10", "judged@1"])
    assert frame.shape == (0, 2)
    assert (frame.dtypes == np.float64).all()


def test_integer_ids_are_text():
    frame = evaluate({1: {7: 1, np.int64(8): 2}}, {"1": {"7": 1.0, 8: 2.0}}, ["nDCG@10", "judged@2"])
    assert frame.loc["1"].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("qrels", "run"),
    [
        ({1: {"a": 1}, "1": {"a": 1}}, {}),
        ({"q": {1: 1, "1": 1}}, {}),
        ({"q": {"a": 1}}, {"q": {1: 1.0, "1": 2.0}}),
    ],
)
def test_ids_that_are_the_same_as_text(qrels, run):
    with pytest.raises(Mismatch, match="the same id"):
        evaluate(qrels, run, ["MRR"])


def test_a_score_that_is_not_a_number_names_its_query():
    with pytest.raises(Mismatch, match="'a' is not a number") as caught:
        evaluate({"q": {"a": 1}}, {"q": {"a": math.nan}}, ["MRR"])
    assert caught.value.where == "query 'q'"


def test_infinite_scores_have_their_place():
    run = {"q": {"a": -math.inf, "b": 0.0, "c": math.inf}}
    assert evaluate({"q": {"a": 1}}, run, ["MRR"]).loc["q", "MRR"] == pytest.approx(1 / 3)


def test_grades_are_whole_numbers():
    assert evaluate({"q": {"a": 2.0}}, {"q": {"a": 1.0}}, ["nDCG@1"]).loc["q", "nDCG@1"] == 1
    for grade in (0.5, math.nan, math.inf):
        with pytest.raises(Mismatch, match="not a whole number"):
            evaluate({"q": {"a": grade}}, {}, ["nDCG@1"])


def test_a_measure_given_twice_is_one_column():
    assert list(evaluate({"q": {"a": 1}}, {}, ["ndcg@10", Measure("nDCG", 10)]).columns) == ["nDCG@10"]


def valid(name, cutoff, rel):
    try:
        return Measure(name, cutoff, rel)
    except UsageError:
        return None


MEASURES = [
    measure
    for name in SPELLINGS
    for cutoff in (None, 1, 10, 1000)
    for rel in (1, 2)
    if (measure := valid(name, cutoff, rel)) is not None
]


@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_what_is_written_is_read(measure):
    assert parse_measure(str(measure)) == measure
    assert parse_measure(f" {str(measure).upper()} ".replace("REL=", "rel = ")) == measure


def test_measures_sort_by_name_then_rel_then_cutoff():
    shuffled = [MEASURES[at] for at in np.random.default_rng(0).permutation(len(MEASURES))]
    ordered = sorted(shuffled)
    assert [measure.name for measure in ordered if measure.rel == 1 and measure.cutoff == 10] == [
        "nDCG", "recall", "precision", "MRR", "MAP", "hit",
        "RBP", "ERR", "expnDCG", "capped_recall", "judged",
    ]  # fmt: skip
    assert all(one < two and not two < one for one, two in pairwise(ordered))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ndcg@10", "nDCG@10"),
        ("nDCG(dcg='exp-log2')@10", "expnDCG@10"),
        ("ndcg_burges@10", "expnDCG@10"),
        ("RBP", "RBP(p=0.8)"),
        ("rbp(p=.95, rel=2)@20", "RBP(p=0.95,rel=2)@20"),
        ("recall_cap@100", "capped_recall@100"),
        ("R_cap@100", "capped_recall@100"),
        ("success@5", "hit@5"),
        ("NDCG@10", "nDCG@10"),
        ("ndcg_cut_10", "nDCG@10"),
        ("ndcg_at_10", "nDCG@10"),
        ("R@100", "recall@100"),
        ("recall_100", "recall@100"),
        ("R(rel=2)@100", "recall(rel=2)@100"),
        ("P@5", "precision@5"),
        ("P_5", "precision@5"),
        ("RR@10", "MRR@10"),
        ("recip_rank", "MRR"),
        ("AP", "MAP"),
        ("map_cut_100", "MAP@100"),
        ("Success@1", "hit@1"),
        ("hit_rate@10", "hit@10"),
        ("accuracy@3", "hit@3"),
        ("r-precision", "Rprec"),
        ("Rprec(rel=2)", "Rprec(rel=2)"),
        ("Judged@10", "judged@10"),
    ],
)
def test_usual_spellings(text, written):
    assert str(parse_measure(text)) == written


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no measure ''"),
        ("bleu@4", "no measure 'bleu@4'"),
        ("hits@10", "no measure"),
        ("nDCG@", "no measure"),
        ("nDCG@ten", "no measure"),
        ("nDCG@-1", "no measure"),
        ("nDCG@10>=0.5", "no measure"),
        ("@10", "no measure"),
        ("nDCG@0", "cutoff of nDCG is 0"),
        ("recall", "recall needs a cutoff"),
        ("P", "precision needs a cutoff"),
        ("hit", "hit needs a cutoff"),
        ("judged", "judged needs a cutoff"),
        ("Rprec@10", "takes no cutoff"),
        ("nDCG(rel=2)@10", "takes no rel"),
        ("judged(rel=2)@10", "takes no rel"),
        ("recall(rel=0)@10", "irrelevant"),
        ("bpref@10", "takes no cutoff"),
        ("RBP(p=1.0)", "no persistence"),
        ("nDCG(p=0.8)@10", "no persistence"),
        ("ERR(rel=2)", "takes no rel"),
        ("capped_recall", "needs a cutoff"),
    ],
)
def test_what_is_no_measure(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        parse_measure(text)
    assert caught.value.remedy


def test_an_unknown_measure_lists_the_known_ones():
    with pytest.raises(UsageError) as caught:
        parse_measure("bleu@4")
    assert all(name in str(caught.value) for name in SPELLINGS)
