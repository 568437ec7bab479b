"""Grades of a model beside those of people: counted, compared, and every verdict without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import Made, library

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import as_document, store_bench
from qembed.commands.evalset.judgement_file import judgement_line
from qembed.commands.evalset.judgements import merge_judgements
from qembed.evaluation.eval_sets.authors import counted_words
from qembed.evaluation.statistics.kappa import cohens_kappa
from qembed.evaluation.systems.judges import agreement_words
from qembed.report.asked import asked
from qembed.report.compare import compare_page, pair_benches
from qembed.report.explorer import Limits, explorer_data
from qembed.report.first import cautions
from qembed.report.index_page import index_page
from qembed.report.markdown import bench_markdown
from qembed.report.page import bench_page
from qembed.report.stored import read_bench
from qembed.report.verdicts import answers, basis

Run = Callable[..., Any]
WHEN = "2026-11-28T10:00:00Z"


def split(made: Made, people: int, *, checked: int = 0) -> None:
    """All grades are taken out; people give those of the first queries, a model the others and some twice."""
    path = made.eval_set / "qrels" / "test.tsv"
    head, *rows = path.read_text().splitlines()
    path.write_text(f"{head}\n")
    files: dict[str, list[str]] = {"Anna": [], "model:tiny": []}
    for row in rows:
        query, item, grade = row.split("\t")
        judge = "Anna" if int(query[1:]) < people else "model:tiny"
        files[judge].append(judgement_line(query, item, grade, judge, WHEN))
        if judge == "Anna" and int(query[1:]) < checked:
            wrong = 1 if grade == "2" else int(grade)
            files["model:tiny"].append(judgement_line(query, item, wrong, "model:tiny", WHEN))
    for judge, lines in files.items():
        if lines:
            file = made.eval_set.parent / f"{judge[:5]}.tsv"
            file.write_text("\n".join([*lines, ""]))
            merge_judgements(made.eval_set, [file])


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return library(tmp_path / "library")


def test_without_a_model_there_is_nothing_to_say(made: Made) -> None:
    assert bench(made.embeddings, made.eval_set, made.options()).judges is None


def test_counted_compared_and_recomputed_from_people_alone(made: Made, tmp_path: Path) -> None:
    split(made, 12, checked=5)
    result = bench(made.embeddings, made.eval_set, made.options())
    judges = result.judges
    assert judges is not None
    assert (judges.grades, judges.by_model, judges.queries, judges.by_people) == (60, {"tiny": 24}, 20, 12)
    both = [(2, 1), (1, 1), (0, 0)] * 5
    assert judges.agreements == {"tiny": cohens_kappa(both)}
    alone = library(tmp_path / "alone")
    path = alone.eval_set / "qrels" / "test.tsv"
    rows = [row for row in path.read_text().splitlines() if not row[1:3].isdigit() or int(row[1:3]) < 12]
    path.write_text("\n".join([*rows, ""]))
    expected = bench(alone.embeddings, alone.eval_set, alone.options())
    assert judges.alone == {row.system.name: row.comparisons["nDCG@10"] for row in expected.rows[1:]}


def test_terminal_page_and_markdown_say_it(made: Made, tmp_path: Path, run_cli: Run) -> None:
    split(made, 12, checked=5)
    command = ["bench", made.embeddings, "-e", made.eval_set, "--query-vectors", made.query_vectors]
    ran = run_cli([*command, "--latency-queries", "0", "-o", tmp_path / "reports", "-q"])
    words = " ".join(ran.out.split())
    counted = "24 of 60 grades are by a language model (tiny), not by people"
    assert counted in words
    assert "from people's grades alone (12 of 20 queries have them)" in words
    assert "tiny and people graded the same 15 results: 67% alike" in words
    assert counted in run_cli([*command, "--latency-queries", "0", "--no-store", "--csv", "-q"]).err
    stored = read_bench(tmp_path / "reports")
    said = list(cautions(stored, asked(stored)))
    assert any(one.startswith(f"{counted}. This verdict (") for one in said)
    assert "Cohen's kappa" in dict(basis(stored))["Judges"]
    assert all("from people's grades alone" in answer.details for answer in answers(stored))
    for text in (bench_page(stored), bench_markdown(stored)):
        assert counted in text
    data = explorer_data(stored, Limits(20, 20_000))
    marked = {query["id"] for query in data["queries"] if query["byModels"]}
    assert marked == {f"q{at:02d}" for at in range(12, 20)}


def test_nobody_but_a_model(made: Made, tmp_path: Path) -> None:
    split(made, 0)
    result = bench(made.embeddings, made.eval_set, made.options())
    judges = result.judges
    assert judges is not None
    assert (judges.by_people, judges.alone, judges.agreements) == (0, {}, {})
    assert counted_words(judges.by_model, judges.grades) == (
        "All 60 grades are by a language model (tiny), not by people"
    )
    assert judges.words("better", None) == "cannot tell from people's grades alone: there are none"
    document = json.loads(json.dumps(as_document(result), default=str))
    assert document["judges"]["by_model"] == {"tiny": 60}
    stored = read_bench(store_bench(result, tmp_path / "reports"))
    assert "how far they agree is not known" in dict(basis(stored))["Judges"]


def test_another_verdict_is_said_loudly(made: Made) -> None:
    split(made, 12)
    result = bench(made.embeddings, made.eval_set, made.options())
    assert result.judges is not None
    comparison = result.rows[1].comparisons["nDCG@10"]
    other = "worse" if comparison.verdict != "worse" else "better"
    alone = next(iter(result.judges.alone.values()))
    assert result.judges.words(other, alone).startswith(
        "cannot tell" if alone.verdict == "cannot tell" else "NOT the same"
    )


def test_a_kappa_that_says_nothing() -> None:
    assert "kappa says nothing" in agreement_words("tiny", cohens_kappa([(1, 1)]))
    assert "graded the same 1 result:" in agreement_words("tiny", cohens_kappa([(1, 1)]))


def test_every_page_and_command_that_rests_on_them_says_it(made: Made, tmp_path: Path, run_cli: Run) -> None:
    split(made, 12)
    folders = [
        store_bench(bench(made.embeddings, made.eval_set, made.options()), tmp_path / "reports") for _ in "12"
    ]
    counted = "24 of 60 grades are by a language model (tiny), not by people"
    assert compare_page(pair_benches(*map(read_bench, folders))).count(f"{counted}.") == 1
    assert "24 of 60 grades by a model" in index_page(tmp_path / "reports")
    command = ["sweep", made.embeddings, "-e", made.eval_set, "--query-vectors", made.query_vectors]
    ran = run_cli([*command, "--dims", "6", "-q"])
    assert ran.code == 0, ran.err
    assert counted in " ".join(ran.out.split())
