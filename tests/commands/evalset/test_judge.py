"""A model judges a stored bench: resumable, marked as a model's, nothing sent unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import Made, library
from fake_judge import FakeJudge, fake_judge

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import store_bench
from qembed.commands.evalset.judge import judge_plan
from qembed.commands.evalset.judgement_file import read_judgements
from qembed.evaluation.eval_sets.eval_set import load_eval_set, unjudged_set

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Made = library(tmp_path_factory.mktemp("library"), queries=4)
    questions = unjudged_set(made.eval_set / "queries.jsonl")
    result = bench(made.embeddings, questions, made.options(fusion=False))
    return store_bench(result, tmp_path_factory.mktemp("reports"))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.evaluation.judge.endpoint._wait", lambda _: None)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("QEMBED_JUDGE_KEY", "secret")


def command(stored: Path, output: Path, judge: FakeJudge, *more: str) -> list[Any]:
    asked = ["--judge", judge.url, "--judge-model", "tiny", "-y", "-q"]
    return ["evalset", "judge", stored, "-o", output, *asked, *more]


def test_nothing_is_sent_without_an_endpoint(stored: Path, run_cli: Run, tmp_path: Path) -> None:
    ran = run_cli(["evalset", "judge", stored, "-o", tmp_path / "out.tsv", "--price", "2.5"])
    assert ran.code == 0
    assert "2: it answers the query" in ran.out
    assert "to grade, about" in ran.out
    assert "at 2.5 per million" in ran.out
    assert not (tmp_path / "out.tsv").exists()


def test_graded_marked_and_merged(stored: Path, run_cli: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with fake_judge(FakeJudge(answer=lambda asked: "2" if "Topic1 " in asked else "0")) as judge:
        ran = run_cli(command(stored, output, judge, "--json"))
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    entries = read_judgements(output)
    assert sum(document["grades"].values()) == len(entries) == len(judge.asked) > 30
    assert {entry.judge for entry in entries} == {"model:tiny"}
    assert document["tokens_in"] == 100 * len(entries)
    assert set(judge.keys) == {"Bearer secret"}
    assert "secret" not in ran.out + ran.err + output.read_text()
    merged = run_cli(["evalset", "merge-judgements", tmp_path / "mine", output, "--bench", stored])
    assert merged.code == 0, merged.err
    found = load_eval_set(tmp_path / "mine")
    assert found.card.judged_by == "a language model (tiny)"
    assert any(2 in grades.values() for grades in found.qrels.values())


def test_it_fails_in_the_middle_and_resumes(stored: Path, run_cli: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with fake_judge(FakeJudge(faults=[200] * 10 + [401] * 99)) as judge:
        ran = run_cli(command(stored, output, judge))
        assert ran.code == 4
        assert "QEMBED_JUDGE_KEY" in ran.err
        assert len(read_judgements(output)) == 10
        with output.open("a") as file:
            file.write("q00\tc:0")  # killed within a line
        judge.faults.clear()
        ran = run_cli(command(stored, output, judge, "--json"))
    entries = read_judgements(output)
    assert ran.code == 0, ran.err
    assert len(entries) == len({(entry.query_id, entry.item_id) for entry in entries}) == len(judge.asked)
    few = run_cli(command(stored, output, FakeJudge(url="http://127.0.0.1:1"), "--limit", "12"))
    assert (few.code, "0 results to grade" in few.err) == (0, True), "12 of them are graded already"
    again = run_cli(command(stored, output, FakeJudge(url="http://127.0.0.1:1")))
    assert again.code == 0
    assert "0 results to grade" in again.err


def test_an_answer_that_is_no_grade_is_left_out_and_named(stored: Path, run_cli: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    with fake_judge(FakeJudge(answer=lambda _: "I cannot say")) as judge:
        ran = run_cli(command(stored, output, judge, "--limit", "3"))
    assert ran.code == 3
    assert ran.out.count("no grade: query") == 3
    assert output.read_text().count("\n") == 1


def test_a_sample_of_what_people_judged_is_graded_too(run_cli: Run, tmp_path: Path) -> None:
    """So that bench can say how far the model agrees; a model's own grades are no check."""
    made = library(tmp_path / "library", queries=4)
    result = bench(made.embeddings, made.eval_set, made.options(fusion=False))
    folder = store_bench(result, tmp_path / "reports")
    qrels = load_eval_set(made.eval_set).qrels
    judged = {(query, item): grade for query, own in qrels.items() for item, grade in own.items()}
    output = tmp_path / "out.tsv"
    assert "judged by people" not in run_cli(["evalset", "judge", folder, "--check", "0"]).out
    with fake_judge(FakeJudge(answer=lambda _: "1")) as judge:
        ran = run_cli(command(folder, output, judge, "--check", "5", "--limit", "7"))
    assert ran.code == 0, ran.err
    assert "5 of them are judged by people" in ran.err
    pairs = [(entry.query_id, entry.item_id) for entry in read_judgements(output)]
    assert len(pairs) == 7
    assert len(judged.keys() & set(pairs)) == 5
    assert run_cli(["evalset", "merge-judgements", made.eval_set, output]).code == 0
    after = load_eval_set(made.eval_set)
    assert all(after.qrels[query][item] == grade for (query, item), grade in judged.items()), "people's hold"
    result = bench(made.embeddings, made.eval_set, made.options(fusion=False))
    assert result.judges is not None
    assert (result.judges.agreements["tiny"].items, result.judges.by_model) == (5, {"tiny": 2})
    again = judge_plan(store_bench(result, tmp_path / "reports"), tmp_path / "new.tsv", checks=100)
    graded = {pair[:2] for pair in again.pairs[: again.checks]}
    assert graded <= judged.keys(), "the model's two are not among those that people judged"
