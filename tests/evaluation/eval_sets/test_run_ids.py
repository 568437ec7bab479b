"""Whatever ids are called, runs and qrels hold six and four columns for everybody, and read back here."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytrec_eval
import ranx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.run_ids import ENCODED_IDS, breaks, encoded, original_ids, written_ids
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.eval_sets.trec import write_runs
from qembed.evaluation.measures import evaluate, parse_measure
from qembed.records import Qrels, Run

BLANKS = "\t\n\r\v\f \x1c\x85\xa0\u1680\u2003\u2028\u3000\ufeff\0\x7f"
IDS = st.one_of(
    st.text(BLANKS + "%20aé", max_size=5),
    st.sampled_from(["", "%", "%25", "a b", "a%20b", "a%2520b", "https://x.org/a%20b?c=d e"]),
)
RUNS = st.dictionaries(IDS, st.dictionaries(IDS, st.floats(-1e30, 1e30), min_size=1, max_size=8), max_size=4)
QRELS = st.dictionaries(IDS, st.dictionaries(IDS, st.integers(0, 3), min_size=1, max_size=5), max_size=4)
MEASURES = {"nDCG@10": "ndcg_cut_10", "recall@100": "recall_100", "MAP": "map", "MRR": "recip_rank"}


@given(IDS)
def test_an_encoded_id_is_one_column(name: str) -> None:
    assert encoded(name).split() == [encoded(name)]
    assert not breaks(encoded(name))
    assert breaks(name) == (
        name.replace("\ufeff", " ").replace("\0", " ").replace("\x7f", " ").split() != [name]
    )


@given(st.sets(IDS, max_size=20))
def test_no_two_ids_are_encoded_alike(names: set[str]) -> None:
    assert len(set(map(encoded, names))) == len(names)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=RUNS, qrels=QRELS)
def test_runs_and_qrels_read_back_and_measure_the_same_elsewhere(
    tmp_path: Path, run: Run, qrels: Qrels
) -> None:
    write_runs(tmp_path, {"run.trec": ("x", run)}, qrels, "qrels.txt")
    answered = {query: grades for query, grades in qrels.items() if any(grades.values())}
    assert read_qrels(tmp_path / "qrels.txt") == answered
    again = read_run(tmp_path / "run.trec")
    assert {query: list(scores) for query, scores in again.items()} == {
        query: sorted(scores, key=lambda item: (-scores[item], item)) for query, scores in run.items()
    }
    with (tmp_path / "qrels.txt").open() as judged, (tmp_path / "run.trec").open() as found:
        theirs = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(judged), set(MEASURES.values()))
        values = theirs.evaluate(pytrec_eval.parse_run(found))
    ours = evaluate(answered, run, [parse_measure(name) for name in MEASURES]) if answered else None
    for query in answered.keys() & run.keys():
        assert ours is not None
        for name, other in MEASURES.items():
            assert values[encoded(query) if (tmp_path / ENCODED_IDS).exists() else query][
                other
            ] == pytest.approx(ours.loc[query, name])


def test_ranx_reads_what_is_written(tmp_path: Path) -> None:
    run: Run = {"q\u00a01": {"docs/my page.md": 2.0, "100%": 1.0}}
    write_runs(tmp_path, {"run.trec": ("x", run)}, {"q\u00a01": {"100%": 1}}, "qrels.txt")
    theirs = ranx.Run.from_file(str(tmp_path / "run.trec")).to_dict()
    assert theirs == {"q%C2%A01": {"docs/my%20page.md": 2.0, "100%25": 1.0}}
    assert ranx.Qrels.from_file(str(tmp_path / "qrels.txt")).to_dict() == {"q%C2%A01": {"100%25": 1}}


def test_ids_that_every_tool_reads_stay_as_they_are(tmp_path: Path) -> None:
    run: Run = {"q1": {"https://x.org/a%20b": 2.0, "\u200c\u0645": 1.0}}
    write_runs(tmp_path, {"run.trec": ("x", {"a b": {"c": 1.0}})}, {}, "qrels.txt")
    assert (tmp_path / ENCODED_IDS).is_file()
    write_runs(tmp_path, {"run.trec": ("x", run)}, {}, "qrels.txt")
    assert "https://x.org/a%20b" in (tmp_path / "run.trec").read_text(encoding="utf-8").split()
    assert not (tmp_path / ENCODED_IDS).exists()
    assert read_run(tmp_path / "run.trec") == run


def test_the_list_of_ids_that_changed(tmp_path: Path) -> None:
    written = written_ids(tmp_path, ["a b", "c", "100%", ""])
    assert (tmp_path / ENCODED_IDS).read_text().splitlines() == [
        '{"written":"%","id":""}',
        '{"written":"100%25","id":"100%"}',
        '{"written":"a%20b","id":"a b"}',
    ]
    original = original_ids(tmp_path)
    assert [original(written(name)) for name in ("a b", "c", "100%", "")] == ["a b", "c", "100%", ""]
    (tmp_path / ENCODED_IDS).write_text('{"written": "a%20b"}\n')
    with pytest.raises(Mismatch, match="which id is written how") as caught:
        original_ids(tmp_path)
    assert caught.value.where == f"{tmp_path / ENCODED_IDS}, line 1"
