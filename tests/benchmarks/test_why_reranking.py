"""benchmarks/why_reranking.py on a stored bench of a made collection."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def why(scripts):
    """The script as a module; forgotten after the test."""
    return scripts("common", "why_reranking")["why_reranking"]


def query(why, number, *, kind, values, ranks, grades, hits=None):
    shown = {system: hits or [] for system in values}
    return why.Query(f"q{number}", kind, f"query {number}", values, shown, ranks, grades)


def test_groups_by_kind_with_their_own_means(why):
    queries = [
        query(
            why,
            number,
            kind="code" if number < 5 else "why",
            values={"vectors": 0.5, "vectors > r": 0.75 if number < 5 else 0.25},
            ranks={"vectors": 1.0, "vectors > r": 1.0},
            grades={"u": 1},
        )
        for number in range(10)
    ]
    groups = why.groupings(queries, "vectors", ["vectors", "vectors > r"])["kind of query"]
    rows = why.by_group("kind", groups, "vectors", ["vectors > r"]).splitlines()[2:]
    found = {row.split("|")[1].strip(): row.split("|")[4].strip() for row in rows}
    assert list(found) == [
        "all",
        "why",
        "code",
    ]  # in the order of KINDS; groups of fewer than five are left out
    assert found["code"].startswith("+0.250 (+0.137 to +0.588), 5 up, 0 down")
    assert found["why"].startswith("-0.250")
    assert found["all"].startswith("+0.000")


@pytest.mark.parametrize(
    ("text", "group"),
    [("points by filter", "half or more"), ("delete three points", "below half"), ("remove vectors", "none")],
)
def test_overlap_with_the_best_answer(why, text, group):
    hit = {"unit": "best", "text": "filterPoints by payload and points", "tokens": 9}
    one = why.Query("q", "", text, {"v": 0.0}, {"v": [hit]}, {"v": 1.0}, {"best": 2, "other": 1})
    assert why.overlap_group(one, ["v"]) == group


def test_an_answer_that_no_system_shows_is_said(why):
    one = why.Query("q", "", "points", {"v": 0.0}, {"v": []}, {"v": 3.0}, {"best": 2})
    assert why.overlap_group(one, ["v"]) == "not shown"


@pytest.mark.parametrize(
    ("rank", "group"),
    [(1, "first"), (2, "2 to 10"), (10, "2 to 10"), (11, "11 to 100"), (float("inf"), "not found")],
)
def test_where_the_best_answer_stood(why, rank, group):
    assert why.rank_group(rank) == group


def test_reads_a_stored_bench(why, tmp_path, tiny, write_chunks, run_cli, monkeypatch, capsys):
    pages = {f"docs/p{number}": [f"the chunk about point {number} and a filter"] for number in range(8)}
    chunks = write_chunks(tmp_path / "chunks", pages)
    assert run_cli(["embed", chunks, "-o", tmp_path / "out", "--model", tiny, "--quiet"]).code == 0
    judged = tmp_path / "set"
    (judged / "qrels").mkdir(parents=True)
    lines = [
        f'{{"_id": "q{number}", "text": "point {number}", "metadata": {{"kind": "code"}}}}\n'
        for number in range(6)
    ]
    (judged / "queries.jsonl").write_text("".join(lines))
    rows = [f"q{number}\tchunks:docs:p{number}.md:chunk:0\t1\n" for number in range(6)]
    (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    command = ["bench", tmp_path / "out", "-e", judged, "-r", f"maxsim:{tiny}", "--latency-queries", "0"]
    ran = run_cli([*command, "-o", tmp_path / "reports", "--name", "b", "--depth", "5", "--quiet"])
    assert ran.code == 0, ran.err
    bench = str(tmp_path / "reports" / "0001_b")
    monkeypatch.setattr(sys, "argv", ["why_reranking.py", bench, bench])
    why.main()
    out, _, together = capsys.readouterr().out.partition("## why_reranking: all 2, 12 queries")
    assert "| code          |      12 |" in together
    assert "## why_reranking: set, 6 queries, nDCG@10" in out
    assert "| code          |       6 |" in out
    assert "without unjudged" in out
    assert "of its pairs are longer" in out
    # one unit of eight is judged per query: without the others it stands first in both
    assert [line.split("|")[4].strip() for line in out.splitlines() if "0.125" in line] == ["1.000"] * 4
