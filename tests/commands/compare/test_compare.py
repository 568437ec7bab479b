"""Runs of other tools, compared; the numbers are those of pytrec_eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from eval_folders import HEADER, eval_folder

from qembed.commands.compare.compare import CompareOptions, compare_runs
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.statistics.compare import compare
from qembed.evaluation.statistics.pool import unjudged

Run = Callable[..., Any]
QUERIES = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Judgements, a good run (TREC), a bad one (ranx's JSON), and one that lacks queries (CSV)."""
    random = np.random.default_rng(5)
    rows, trec, table = [], [], ["query_id,doc_id,score"]
    bad: dict[str, dict[str, float]] = {}
    for query in range(QUERIES):
        scores = random.normal(size=130)
        for item in range(130):
            rows.append(f"q{query}\t0\td{item}\t{2 if item == 0 else int(item < 4)}")
            good = scores[item] + 2.5 * (item < 4)
            trec.append(f"q{query} Q0 d{item} 1 {good!r} x".replace("np.float64(", "").replace(")", ""))
            bad.setdefault(f"q{query}", {})[f"d{item}"] = float(scores[item])
            if query >= 5:
                table.append(f"q{query},d{item},{float(good)!r}")
    (tmp_path / "qrels.txt").write_text("\n".join(rows))
    (tmp_path / "good.trec").write_text("\n".join(trec))
    (tmp_path / "bad.json").write_text(json.dumps({**bad, "unknown": {"d": 1.0}}))
    (tmp_path / "some.csv").write_text("\n".join(table))
    return tmp_path


def test_numbers_are_those_of_trec_eval(folder: Path) -> None:
    found = compare_runs(
        [folder / "bad.json", folder / "good.trec"],
        folder / "qrels.txt",
        CompareOptions(measures=("nDCG@10", "recall@10", "MAP")),
    )
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.txt").read_text().splitlines():
        query, _, item, grade = line.split()
        qrels.setdefault(query, {})[item] = int(grade)
    runs: list[dict[str, dict[str, float]]] = [json.loads((folder / "bad.json").read_text()), {}]
    for line in (folder / "good.trec").read_text().splitlines():
        query, _, item, _, score, _ = line.split()
        runs[1].setdefault(query, {})[item] = float(score)
    judge = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.10", "map"})
    values = []
    for one, run in zip(found.runs, runs, strict=True):
        expected = judge.evaluate(run)
        for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("recall@10", "recall_10"), ("MAP", "map")):
            column = [expected[query][theirs] for query in one.measured.values.index]
            assert one.measured.values[ours].to_numpy() == pytest.approx(column)
        values.append([expected[query]["ndcg_cut_10"] for query in one.measured.values.index])
    comparison = found.runs[1].measured.comparisons["nDCG@10"]
    assert comparison == compare(*map(np.array, values))
    assert comparison.verdict == "better"


def test_what_is_missing_or_unknown_is_counted(folder: Path) -> None:
    found = compare_runs(
        [folder / "good.trec", folder / "some.csv", folder / "bad.json"],
        folder / "qrels.txt",
        CompareOptions(measures=("recall@10", "MAP")),
    )
    good, some, bad = found.runs
    assert (good.missing, good.unknown) == ((), ())
    assert some.missing == tuple(f"q{query}" for query in range(5))
    assert some.measured.values.loc["q0", "recall@10"] == 0
    assert bad.unknown == ("unknown",)
    assert [str(measure) for measure in found.measures] == ["recall@10", "MAP"]
    assert all(comparison.family == 2 for comparison in bad.measured.comparisons.values())


def test_names(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "good.trec").write_bytes((folder / "good.trec").read_bytes())
    runs = [folder / "good.trec", folder / "x" / "good.trec"]
    assert [one.name for one in compare_runs(runs, folder / "qrels.txt").runs] == list(map(str, runs))
    with pytest.raises(UsageError, match="given twice"):
        compare_runs([runs[0], runs[0]], folder / "qrels.txt")


def test_what_cannot_be_compared(folder: Path) -> None:
    good, qrels = folder / "good.trec", folder / "qrels.txt"
    with pytest.raises(UsageError, match="nothing to be compared"):
        compare_runs([good], qrels)
    with pytest.raises(InputNotFound):
        compare_runs([good, folder / "absent"], qrels)
    (folder / "other.trec").write_text("z Q0 d 1 1 x")
    with pytest.raises(Mismatch, match="no query of the run is judged: its first is 'z'"):
        compare_runs([good, folder / "other.trec"], qrels)
    (folder / "pages.trec").write_text("q0 Q0 page 1 1 x")
    with pytest.raises(Mismatch, match="none of its items is judged for any query: one is 'page', a judged"):
        compare_runs([good, folder / "pages.trec"], qrels)
    (folder / "empty.trec").touch()
    with pytest.raises(Mismatch, match="the run is empty"):
        compare_runs([good, folder / "empty.trec"], qrels)
    (folder / "zero.txt").write_text("q0 0 d0 0")
    with pytest.raises(UsageError, match="no item has a grade of 1 or more"):
        compare_runs([good, folder / "bad.json"], folder / "zero.txt")
    for wrong in ({"margin": -0.1}, {"margin": float("nan")}, {"resamples": 99}, {"seed": -1}):
        with pytest.raises(UsageError, match="at least 0, resamples at least 100"):
            compare_runs([good, folder / "bad.json"], qrels, CompareOptions(**wrong))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="judged@k cannot"):
        compare_runs([good, folder / "bad.json"], qrels, CompareOptions(measures=("judged@10",)))


def test_command_line(folder: Path, run_cli: Run) -> None:
    command = ["compare", folder / "bad.json", folder / "good.trec", "--qrels", folder / "qrels.txt"]
    ran = run_cli([*command, "-o", folder / "reports"])
    assert (ran.code, ran.err) == (0, "")
    assert "40 of 40 queries have an answer" in " ".join(ran.out.split())
    assert "bad answers 1 queries that are not judged" in ran.out
    assert "better" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines() if str(folder) not in line)
    assert "Smallest detectable difference (80 % power, 40 queries): 0." in ran.out
    (stored,) = (folder / "reports").glob("0001_qrels")
    document = json.loads(run_cli([*command, "--no-store", "--json"]).out)
    assert document["systems"][1]["comparisons"]["nDCG@10"]["verdict"] == "better"
    assert document["folder"] is None
    assert json.loads((stored / "bench.json").read_text())["systems"] == document["systems"]
    ran = run_cli([*command, "--csv", "-o", folder / "reports", "--name", "mine"])
    assert "good" in ran.out.splitlines()[2]
    assert "bad answers 1 queries that are not judged" in ran.err
    assert f"Wrote {folder / 'reports' / '0002_mine'}" in ran.err
    assert len(list((folder / "reports").glob("0*"))) == 2
    assert run_cli([*command[:2], "--qrels", folder / "qrels.txt"]).code == 2


def test_scores_that_may_mean_the_opposite_are_pointed_out(folder: Path, run_cli: Run) -> None:
    bad = json.loads((folder / "bad.json").read_text())
    lines = []
    for query in bad:
        order = sorted(bad[query], key=lambda name: -bad[query][name])
        lines += [f"{query} Q0 {item} {rank} {rank} x" for rank, item in enumerate(order, start=1)]
    (folder / "ranks.trec").write_text("\n".join(lines))
    runs = [folder / "bad.json", folder / "ranks.trec"]
    found = compare_runs(runs, folder / "qrels.txt").runs
    assert [one.rises for one in found] == [False, True]
    ran = run_cli(["compare", *runs, "--qrels", folder / "qrels.txt", "-o", folder / "reports"])
    assert "negate them if they are distances or ranks" in " ".join(ran.out.split())
    page = run_cli(["report", folder / "reports", "--format", "md"]).out
    assert "The scores of ranks rise from a question's first result to its last." in page


def test_ties_on_top_are_pointed_out(folder: Path, run_cli: Run) -> None:
    bad = json.loads((folder / "bad.json").read_text())
    tied = {query: {item: round(score) for item, score in scores.items()} for query, scores in bad.items()}
    deep = {
        query: {item: max(score, sorted(scores.values())[-40:][0]) for item, score in scores.items()}
        for query, scores in bad.items()
    }
    for name, run in (("tied", tied), ("deep", deep)):
        (folder / f"{name}.json").write_text(json.dumps(run))
    runs = [folder / "deep.json", folder / "tied.json"]
    assert [one.tied for one in compare_runs(runs, folder / "qrels.txt").runs] == [0, QUERIES]
    ran = run_cli(["compare", *runs, "--qrels", folder / "qrels.txt", "--no-store"])
    assert "tied: 40 queries have equal scores on top" in " ".join(ran.out.split())


def test_no_option_is_ignored(folder: Path, run_cli: Run) -> None:
    command = [
        "compare",
        folder / "bad.json",
        folder / "good.trec",
        "--qrels",
        folder / "qrels.txt",
        "--no-store",
    ]
    for more in (["--name", "x"], ["-o", folder / "reports"], ["--collection", "x"]):
        ran = run_cli([*command, *more])
        assert (ran.code, ran.out) == (2, ""), more
    assert not (folder / "reports").exists()


class TestFewQueries:
    def test_what_twenty_queries_could_have_shown_is_said_as_in_a_bench(
        self, folder: Path, run_cli: Run
    ) -> None:
        few = folder / "few.txt"
        few.write_text("".join(f"q{query}\t0\td0\t1\n" for query in range(12)))
        ran = run_cli(["compare", folder / "bad.json", folder / "good.trec", "--qrels", few, "--no-store"])
        words = " ".join(ran.out.split())
        assert "only 12 queries" in words
        found = compare_runs([folder / "bad.json", folder / "good.trec"], few).runs[1].measured
        least = found.comparisons["nDCG@10"].detectable_difference
        assert f"Smallest detectable difference (80 % power, 12 queries): {least:.3f}." in words

    def test_what_the_pool_did_to_a_verdict_is_said(self, folder: Path, run_cli: Run) -> None:
        """Judged are the first ten of the bad run alone."""
        bad = json.loads((folder / "bad.json").read_text())
        rows = [
            f"q{query}\t0\t{item}\t{int(item in ('d0', 'd1', 'd2', 'd3'))}\n"
            for query in range(QUERIES)
            for item in sorted(bad[f"q{query}"], key=lambda name: -bad[f"q{query}"][name])[:10]
        ]
        (folder / "pooled.txt").write_text("".join(rows))
        command = ["compare", folder / "bad.json", folder / "good.trec", "--qrels", folder / "pooled.txt"]
        words = " ".join(run_cli([*command, "--no-store"]).out.split())
        assert "good: on judged results alone it differs by" in words
        found = compare_runs([folder / "bad.json", folder / "good.trec"], folder / "pooled.txt")
        pool = found.runs[1].measured.pool
        assert pool is not None
        assert pool.judged < pool.judged_baseline == 1
        assert f"of the first ten of good, {unjudged(pool.judged)} are unjudged" in words


class TestTexts:
    @pytest.fixture
    def judged(self, tmp_path: Path) -> Path:
        """Queries that are documents, as of Quora: both runs find the query itself first."""
        texts = {"0": "How do I learn Python?", "1": "Learn Python fast?", "2": "What is rice?", "3": "Rice?"}
        corpus = {**texts, "9": "Something else"}
        queries = {"0": texts["0"], "2": texts["2"]}
        eval_folder(tmp_path, queries, {"test": ["0 1 1", "2 3 1"]}, corpus=corpus)
        runs = {
            "a": {"0": {"0": 9.0, "1": 2.0}, "2": {"2": 9.0, "9": 5.0, "3": 1.0}},
            "b": {"0": {"1": 2.0}, "2": {"9": 3.0, "3": 1.0}},
        }
        for name, run in runs.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(run))
        return tmp_path

    def test_a_query_that_is_a_document_does_not_find_itself(self, judged: Path, run_cli: Run) -> None:
        runs = [judged / "a.json", judged / "b.json"]
        a, b = compare_runs(runs, judged).runs
        assert (a.own, b.own) == (("0", "2"), ())
        assert a.run == {"0": {"1": 2.0}, "2": {"9": 5.0, "3": 1.0}}
        assert a.measured.values.equals(b.measured.values)
        ran = run_cli(["compare", *runs, "--qrels", judged, "--no-store"])
        assert "a: 2 queries are documents of the corpus" in " ".join(ran.out.split())

    def test_without_texts_nothing_is_left_out_and_it_is_offered(self, judged: Path, run_cli: Run) -> None:
        runs = [judged / "a.json", judged / "b.json"]
        (judged / "alone").mkdir()
        alone = judged / "alone" / "mine.tsv"
        alone.write_bytes((judged / "qrels" / "test.tsv").read_bytes())
        found = compare_runs(runs, alone)
        assert found.same_ids == 2
        assert found.runs[0].measured.values.loc["0", "MRR@10"] == 0.5
        ran = run_cli(["compare", *runs, "--qrels", alone, "--no-store"])
        assert "give --queries and --corpus" in " ".join(ran.out.split())
        options = CompareOptions(queries=judged / "queries.jsonl", corpus=judged / "corpus.jsonl")
        assert compare_runs(runs, alone, options).runs[0].own == ("0", "2")

    def test_a_document_that_is_judged_relevant_stays(self, judged: Path) -> None:
        (judged / "qrels" / "test.tsv").write_text(f"{HEADER}\n0\t0\t1\n0\t1\t1\n2\t3\t1\n")
        assert compare_runs([judged / "a.json", judged / "b.json"], judged).runs[0].own == ("2",)

    def test_texts_that_do_not_fit(self, judged: Path) -> None:
        runs = [judged / "a.json", judged / "b.json"]
        (judged / "other.jsonl").write_text('{"_id": "x", "text": "y"}\n')
        with pytest.raises(Mismatch, match="the corpus has no text of any result"):
            compare_runs(runs, judged, CompareOptions(corpus=judged / "other.jsonl"))
        with pytest.raises(Mismatch, match="none of the queries is judged: the first is 'x'"):
            compare_runs(runs, judged, CompareOptions(queries=judged / "other.jsonl"))

    def test_what_an_eval_set_says_of_itself(self, judged: Path) -> None:
        (judged / "card.toml").write_text('name = "mine"\nlevel = "page"\nsynthetic = true\n')
        runs = [judged / "a.json", judged / "b.json"]
        for qrels in (judged, judged / "qrels" / "test.tsv"):
            found = compare_runs(runs, qrels).judgements
            assert (found.card.name, found.level, found.card.synthetic) == ("mine", "page", True)
            assert list(found.queries) == ["0", "2"]

    def test_queries_of_one_group_are_drawn_together(self, judged: Path) -> None:
        lines = [{"_id": query, "text": query, "group": "g"} for query in ("0", "2")]
        (judged / "queries.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        found = compare_runs([judged / "a.json", judged / "b.json"], judged)
        assert found.judgements.groups == {"0": "0", "2": "0"}
        assert found.runs[1].measured.comparisons["MRR@10"].groups == 1


def test_grades_of_a_model_are_never_mixed_unseen(folder: Path, run_cli: Run) -> None:
    """Half of the queries were graded by a model: each verdict stands without them too, as in a bench."""
    rows = [line.split() for line in (folder / "qrels.txt").read_text().splitlines()]
    judged = eval_folder(
        folder / "set",
        {f"q{query}": f"text {query}" for query in range(QUERIES)},
        {"test": [f"{query} {item} {grade}" for query, _, item, grade in rows]},
    )
    log = [
        {
            "query_id": query,
            "item_id": item,
            "grade": int(grade),
            "judge": "model:tiny",
            "judged_at": "2026-01-01T00:00:00Z",
            "qrels": "test.tsv",
            "outcome": "added",
        }
        for query, _, item, grade in rows
        if int(query[1:]) >= QUERIES // 2
    ]
    (judged / "judgements.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in log))
    runs = [folder / "bad.json", folder / "good.trec"]
    found = compare_runs(runs, judged / "qrels" / "test.tsv").judges
    assert found is not None
    assert (found.by_model, found.by_people) == ({"tiny": len(log)}, QUERIES // 2)
    ran = run_cli(["compare", *runs, "--qrels", judged, "-o", folder / "reports"])
    words = " ".join(ran.out.split())
    assert f"{len(log):,} of {len(rows):,} grades are by a language model (tiny), not by people." in words
    assert "good (better): the same from people's grades alone (20 of 40 queries have them)" in words
    page = run_cli(["report", folder / "reports", "--format", "md"]).out
    assert "not by people" in page
    assert compare_runs(runs, folder / "qrels.txt").judges is None
