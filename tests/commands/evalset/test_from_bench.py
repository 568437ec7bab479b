"""From questions to verdicts: bench, judge, merge, bench again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from bench_folders import Made, library

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import store_bench
from qembed.commands.evalset.from_bench import begin_eval_set
from qembed.commands.evalset.judgement_file import judgement_line
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import InputNotFound, UsageError
from qembed.evaluation.eval_sets.beir import write_queries
from qembed.evaluation.eval_sets.eval_set import load_eval_set, unjudged_set
from qembed.report.standing import merge_command, same_command
from qembed.report.stored import read_bench

ROWS = "query-id\tcorpus-id\tscore\tjudge\tjudged-at\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def stored(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    questions = unjudged_set(made.eval_set / "queries.jsonl")
    result = bench(
        made.embeddings,
        questions,
        made.options(baseline=made.embeddings, bm25=False, baseline_query_vectors=made.query_vectors),
    )
    return store_bench(result, tmp_path_factory.mktemp("reports"))


def exported(folder: Path, judged: int) -> Path:
    """What a report exports: the right text of the first queries."""
    rows = "".join(f"q{n:02d}\tc:{n:02d}\t2\tAnna\t2026-11-28T10:00:00Z\n" for n in range(judged))
    (folder / "qrels.tsv").write_text(ROWS + rows)
    return folder / "qrels.tsv"


def test_questions_become_an_eval_set_with_verdicts(made: Made, stored: Path, tmp_path: Path) -> None:
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 20)], bench=stored)
    found = load_eval_set(tmp_path / "mine")
    assert (found.card.name, found.card.level) == ("mine", "chunk")
    assert found.queries == load_eval_set(made.eval_set).queries
    assert found.qrels == {f"q{n:02d}": {f"c:{n:02d}": 2} for n in range(20)}
    assert len((tmp_path / "mine" / "judgements.jsonl").read_text().splitlines()) == 20
    again = bench(made.embeddings, tmp_path / "mine", made.options(bm25=False))
    assert again.rows[0].estimates["nDCG@10"].n == 20


def test_a_second_reviewer_is_merged_into_the_same_set(stored: Path, tmp_path: Path) -> None:
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 5)], bench=stored.parent)
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 7)])
    assert len(load_eval_set(tmp_path / "mine").judged) == 7


def test_after_a_crash_before_the_first_row_the_command_without_bench_completes_it(
    stored: Path, tmp_path: Path
) -> None:
    begin_eval_set(tmp_path / "mine", read_bench(stored))
    assert json.loads((tmp_path / "mine" / "queries.jsonl").read_text().splitlines()[0])["_id"] == "q00"
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 3)])
    assert len(load_eval_set(tmp_path / "mine").judged) == 3


def test_what_cannot_be(stored: Path, tmp_path: Path) -> None:
    file = exported(tmp_path, 1)
    with pytest.raises(InputNotFound, match="mine"):
        merge_judgements(tmp_path / "mine", [file])
    with pytest.raises(UsageError, match="dry run"):
        merge_judgements(tmp_path / "mine", [file], bench=stored, dry_run=True)
    with pytest.raises(InputNotFound, match="no stored bench"):
        merge_judgements(tmp_path / "mine", [file], bench=tmp_path)
    assert not (tmp_path / "mine").exists()
    merge_judgements(tmp_path / "mine", [file], bench=stored)
    write_queries(tmp_path / "mine" / "queries.jsonl", {"q00": "another question"})
    with pytest.raises(UsageError, match="there already, with other questions"):
        merge_judgements(tmp_path / "mine", [file], bench=stored)


def test_the_same_command_again_says_how_it_stands_now(stored: Path, tmp_path: Path) -> None:
    """Both sides are the same vectors: no result can change anything."""
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 2)], bench=stored)
    done = merge_judgements(tmp_path / "mine", [exported(tmp_path, 4)], bench=stored)
    assert (done.count("added"), done.count("same")) == (2, 2)
    assert done.standing is not None
    assert done.standing[:2] == ("vectors", "baseline")
    assert (done.standing.outlook.state, done.standing.outlook.equal) == ("impossible", 20)
    assert merge_judgements(tmp_path / "mine", [exported(tmp_path, 5)]).standing is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["--queries", "my questions.txt", "-q"], ["-e", "my set", "-q"]),
        (["-q", "--queries=my questions.txt"], ["-q", "-e", "my set"]),
        (["-e", "my set"], ["-e", "my set"]),
    ],
)
def test_the_next_command_is_the_same_bench(stored: Path, before: list[str], after: list[str]) -> None:
    found = read_bench(stored)
    found.document["environment"]["command"] = ["qembed", "bench", "new/", *before]
    assert same_command(found, Path("my set")) == shlex.join(["qembed", "bench", "new/", *after])
    found.document["environment"]["command"] = ["python", "mine.py"]
    assert same_command(found, Path("my set")) == ""


def test_what_brings_judgements_back(stored: Path, made: Made, tmp_path: Path) -> None:
    assert merge_command(read_bench(stored)).endswith(f"my_set qrels.tsv --bench {stored}")
    judged = store_bench(bench(made.embeddings, made.eval_set, made.options(bm25=False)), tmp_path)
    assert merge_command(read_bench(judged)).endswith(f"merge-judgements {made.eval_set} qrels.tsv")


def test_what_a_model_graded_does_not_pass_for_peoples(tmp_path: Path) -> None:
    """A set made of a bench that rests on a model's grades says so, too."""
    made = library(tmp_path / "library")
    rows = [
        judgement_line("q03", "c:09", 1, "model:tiny", "2026-11-28"),
        judgement_line("q03", "c:11", 0, "Anna"),
    ]
    (tmp_path / "more.tsv").write_text("\n".join([*rows, ""]))
    merge_judgements(made.eval_set, [tmp_path / "more.tsv"])
    folder = store_bench(bench(made.embeddings, made.eval_set, made.options()), tmp_path / "reports")
    merge_judgements(tmp_path / "mine", [exported(tmp_path, 1)], bench=folder)
    one, other = load_eval_set(made.eval_set), load_eval_set(tmp_path / "mine")
    assert other.qrels == one.qrels
    assert other.authors.models == one.authors.models == {("q03", "c:09"): "tiny"}
    assert other.authors.people == one.authors.people
    assert other.card.judged_by == "people and a language model (tiny)"
