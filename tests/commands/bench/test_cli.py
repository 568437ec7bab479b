"""``qembed bench``: what it prints in 80 columns, its JSON document, and how it exits."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import FakeReranker, Item, Made, by_length, library, make, oracle, write_embeddings

from qembed.errors import QembedError

Run = Callable[..., Any]
Golden = Callable[[str, str], None]
RERANKERS: dict[str, Callable[[str, str], float]] = {
    "good": oracle,
    "cross-encoder/ms-marco-MiniLM-L6-v2": by_length,
    "[red]models/[v2]": oracle,
}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "qembed.commands.bench.bench.open_reranker",
        lambda spec, *, options: FakeReranker(spec, RERANKERS[spec]),
    )


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Reports go to the working folder."""
    monkeypatch.chdir(tmp_path)
    return library(tmp_path)


def arguments(made: Made, *more: str | Path) -> list[str | Path]:
    quick = ["-q", "--latency-queries", "0", "--resamples", "200", "--query-vectors", made.query_vectors]
    return ["bench", made.embeddings, "-e", made.eval_set, *quick, *more]


def both(made: Made) -> list[str | Path]:
    return ["--baseline", made.embeddings, "--baseline-query-vectors", made.query_vectors]


def narrow(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


class TestForPeople:
    @pytest.mark.usefixtures("fakes")
    def test_all_of_it(self, shelf: Made, run_cli: Run, golden: Golden) -> None:
        """Rerankers, a baseline and gates, as they look."""
        gates = ["--gate", "nDCG@10>=0.72", "--gate", "good: nDCG@10 no worse than baseline"]
        ran = run_cli(
            arguments(shelf, "--no-store", "-r", "good", "--depth", "2,5,20,50", *both(shelf), *gates)
        )
        assert ran.err == ""
        assert narrow(ran.out)
        golden("bench", ran.out)
        assert ran.code == 3

    @pytest.mark.usefixtures("fakes")
    def test_long_names_and_times_fit_80_columns(self, shelf: Made, run_cli: Run) -> None:
        """All default measures, all stages, the default reranker's whole name."""
        name = "cross-encoder/ms-marco-MiniLM-L6-v2"
        ran = run_cli([*arguments(shelf, "--no-store", "-r", name, *both(shelf)), "--latency-queries", "3"])
        assert ran.code == 0
        assert narrow(ran.out)
        assert "ms per query, one at a time, warm" in ran.out
        for head in ("retrieve", "bm25", "rerank", "all", "half of them", "pairs/s", "cores"):
            assert head in ran.out
        assert "".join(ran.out.split()).count("cross-encoder/ms-marco-MiniLM-L6-v2") >= 2

    def test_many_measures_fold_into_several_tables(self, shelf: Made, run_cli: Run) -> None:
        measures = ["nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP", "bpref", "ERR@10", "RBP(p=0.8)"]
        asked = ["--measure", ",".join([*measures, "precision@5", "judged@10"]), "--latency-queries", "3"]
        ran = run_cli([*arguments(shelf, "--no-store"), *asked])
        assert ran.code == 0
        assert narrow(ran.out)
        assert "\u2026" not in ran.out  # nothing is cut
        for measure in measures:
            assert all(part in ran.out for part in measure.split("@")), (
                measure
            )  # the cutoff is below the name
        tables = ran.out.partition("compared with")[0].partition("against")[0]
        assert sum(line.strip().startswith("vectors + bm25") for line in tables.splitlines()) == 2

    def test_measures_with_commas(self, shelf: Made, run_cli: Run) -> None:
        measures = ["--measure", "nDCG@5, RBP(p=0.5,rel=2)", "--measure", "bpref"]
        ran = run_cli([*arguments(shelf, "--no-store", "--json"), *measures])
        assert json.loads(ran.out)["measures"] == ["nDCG@5", "RBP(p=0.5,rel=2)", "bpref"]

    def test_vectors_alone(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(arguments(shelf, "--no-store", "--no-bm25"))
        assert ran.code == 0
        assert "vectors: 40 texts (50 chunks), 12 dimensions, no manifest; index memory" in ran.out
        assert "compared with vectors" not in ran.out
        assert "ms per query" not in ran.out
        assert "Wrote" not in ran.out
        assert "gates" not in ran.out

    def test_a_graph_says_what_it_misses(self, shelf: Made, run_cli: Run) -> None:
        pytest.importorskip("qdrant_edge")
        ran = run_cli(arguments(shelf, "--no-store", "--hnsw"))
        assert ran.code == 0
        assert narrow(ran.out)
        assert re.search(
            r"index edge, approximate: finds \d+\.\d% of the nearest 10", " ".join(ran.out.split())
        )

    def test_one_query(self, tmp_path: Path, run_cli: Run) -> None:
        ran = run_cli(arguments(library(tmp_path, queries=1), "--no-store", "--gate", "nDCG@10>=0.1"))
        assert ran.code == 0
        assert "nan" not in ran.out
        assert "cannot tell" in ran.out

    @pytest.mark.usefixtures("fakes")
    def test_names_are_no_markup(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(arguments(shelf, "-r", "[red]models/[v2]", "-o", "[bold]"))
        assert ran.code == 0
        assert "".join(ran.out.split()).count("[red]models/[v2]") >= 3
        assert "Wrote [bold]/0001_library: bench.json" in ran.out

    def test_what_a_reranker_did_not_read(
        self, shelf: Made, run_cli: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lame = FakeReranker(
            "lame", by_length, truncated_pairs=80, failures=("the query 'x' with the text 'y': no memory",)
        )
        monkeypatch.setattr("qembed.commands.bench.bench.open_reranker", lambda spec, *, options: lame)
        ran = run_cli(arguments(shelf, "--no-store", "-r", "lame", "--depth", "20"))
        assert ran.code == 0
        assert narrow(ran.out)
        words = " ".join(ran.out.split())
        assert "vectors > lame: 20% of the pairs are longer than what it reads, and were cut" in words
        assert "vectors > lame: 1 could not be scored and went last; the query 'x' with" in words

    def test_a_synthetic_set_and_unknown_items_are_said(self, shelf: Made, run_cli: Run) -> None:
        card = shelf.eval_set / "card.toml"
        card.write_text(card.read_text() + "synthetic = true\n")
        with (shelf.eval_set / "qrels" / "test.tsv").open("a") as file:
            file.write("q00\tc:gone\t2\nq01\tc:gone\t1\nq02\tc:lost\t1\n")
        ran = run_cli(arguments(shelf, "--no-store"))
        assert ran.code == 0
        assert narrow(ran.out)
        words = " ".join(ran.out.split())
        assert "SYNTHETIC" in words
        assert "note: 2 relevant items are not in vectors; no search can find them" in words
        assert "the corpus has no chunk 'c:gone' (query 'q00') and 2 more" in words

    def test_queries_without_an_answer(self, tmp_path: Path, run_cli: Run) -> None:
        items = [Item(f"c:{n}", f"t{n}", [1, n, n * n]) for n in range(6)]
        queries = {f"q{n}": ("x", [1.0, n, n * n]) for n in range(6)} | {
            f"u{n}": ("x", [-1.0, 1, -9]) for n in range(5)
        }
        rows = [*(f"q{n} c:{n} 1" for n in range(6)), *(f"u{n} c:0 0" for n in range(5))]
        ran = run_cli(arguments(make(tmp_path, items, queries, rows), "--no-store"))
        words = " ".join(ran.out.split())
        assert "6 of 11 judged queries have a relevant result" in words
        assert "note: 10 queries have the text of another one" in words
        assert "note: 11 queries are in 1 groups" in words
        assert "For 5 queries nothing that was judged is relevant" in words
        assert "tells them from the others with an AUC of 1.00" in words


class TestStored:
    def test_a_folder_each_time(self, shelf: Made, run_cli: Run, tmp_path: Path) -> None:
        for name in ("0001_library", "0002_library"):
            ran = run_cli(arguments(shelf))
            assert ran.code == 0
            assert ran.out.splitlines()[-1].startswith(f"Wrote reports/{name}: bench.json, per_query.csv")
            assert (tmp_path / "reports" / name / "bench.json").is_file()
        assert run_cli(arguments(shelf, "--name", "mine", "-o", "elsewhere")).code == 0
        assert (tmp_path / "elsewhere" / "0001_mine" / "runs" / "vectors.trec").is_file()

    def test_nothing_where_nothing_is_wanted(self, shelf: Made, run_cli: Run, tmp_path: Path) -> None:
        before = sorted(tmp_path.rglob("*"))
        assert run_cli(arguments(shelf, "--no-store")).code == 0
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_full_disk_does_not_take_the_numbers_away(
        self, shelf: Made, run_cli: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise QembedError("cannot write: No space left on device", where="there", remedy="make room")

        monkeypatch.setattr("qembed.report.storing.write_json", full)
        ran = run_cli(arguments(shelf))
        assert ran.code == 1
        assert "No space left" in ran.err
        assert "vectors + bm25" in ran.out
        assert "Wrote" not in ran.out

    def test_a_folder_that_cannot_be_made(self, shelf: Made, run_cli: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ran = run_cli(arguments(shelf, "-o", "file/reports"))
        assert ran.code == 1
        assert "cannot write" in ran.err
        assert "vectors + bm25" in ran.out


class TestForPipes:
    @pytest.mark.usefixtures("fakes")
    def test_one_document(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(arguments(shelf, "--json", "-r", "good"))
        assert (ran.code, ran.err) == (0, "")
        document = json.loads(ran.out)
        assert document["schema"] == "qembed.bench/2"
        assert document["folder"] == "reports/0001_library"
        assert [system["name"] for system in document["systems"]][-1] == "vectors > good"
        assert document["measures"] == ["nDCG@10", "recall@10", "recall@100", "MRR@10", "judged@10"]
        stored = json.loads(Path("reports/0001_library/bench.json").read_text())
        assert document.keys() - stored.keys() == {"folder"}
        assert json.loads(run_cli(arguments(shelf, "--json", "--no-store")).out)["folder"] is None

    def test_a_gate_that_fails(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(arguments(shelf, "--json", "--no-store", "--gate", "nDCG@10>=0.99"))
        document = json.loads(ran.out)
        assert ran.code == 3
        assert document["passed"] is False
        assert document["gates"][0]["outcome"] == "fails"


class TestGates:
    @pytest.mark.parametrize(
        ("gate", "code", "words"),
        [
            ("nDCG@10>=0.1", 0, "holds nDCG@10>=0.1 (vectors)"),
            ("nDCG@10>=0.99", 3, "FAILS nDCG@10>=0.99 (vectors)"),
            ("fusion: recall@10 no worse than bm25", 0, "(vectors + bm25)"),
            ("recall@10 no worse than baseline", 0, "+0.000 (-0.139 to +0.139) from baseline"),
        ],
    )
    def test_exit_codes(self, shelf: Made, run_cli: Run, gate: str, code: int, words: str) -> None:
        ran = run_cli(arguments(shelf, "--no-store", "--gate", gate, *both(shelf)))
        assert ran.code == code
        assert words in " ".join(ran.out.split())
        assert narrow(ran.out)

    def test_what_cannot_be_decided_has_words_of_its_own(self, shelf: Made, run_cli: Run) -> None:
        document = json.loads(run_cli(arguments(shelf, "--json", "--no-store")).out)
        mean = document["systems"][0]["estimates"]["nDCG@10"]["mean"]
        ran = run_cli(arguments(shelf, "--no-store", "--gate", f"nDCG@10>={mean + 0.01:.3f}"))
        assert ran.code == 3
        assert "these queries cannot decide it for certain" in " ".join(ran.out.split())


class TestErrors:
    def test_the_default_reranker_without_a_hub(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(arguments(shelf, "-r", "cross-encoder/ms-marco-MiniLM-L6-v2"))
        assert (ran.code, ran.out) == (4, "")
        assert "next:" in ran.err
        assert "--reranker maxsim:minilm" in ran.err
        assert "Traceback" not in ran.err

    @pytest.mark.parametrize(
        ("more", "code", "words"),
        [
            (["--depth", "0"], 2, "are no depths"),
            (["--depth", "10,x"], 2, "are no depths"),
            (["--margin", "-1"], 2, "--margin"),
            (["--resamples", "5"], 2, "--resamples"),
            (["--latency-queries", "-1"], 2, "--latency-queries"),
            (["--index", "faiss"], 2, "--index"),
            (["--measure", "nDGC@10"], 2, "there is no measure 'nDGC@10'"),
            (["--measure", "nDCG@10,nDGC@10"], 2, "there is no measure 'nDGC@10'"),
            (["--measure", "judged@10"], 2, "--measure nDCG@10 first"),
            (["--gate", "nDCG@10 no worse than baseline"], 2, "systems are: vectors, bm25"),
            (["--gate", "good"], 2, "cannot be read"),
            (["--baseline-model", "minilm"], 2, "--baseline FOLDER"),
            (["--baseline", "absent"], 2, "absent"),
            (["--split", "dev"], 2, "--split test"),
            (["--queries", "queries.jsonl"], 2, "give --eval-set FOLDER; or --queries FILE"),
            (["-r", "maxsim:"], 2, "names no model"),
            (["-r", "minilm"], 2, "maxsim:minilm"),
            (["-r", "./absent"], 4, "./absent"),
        ],
    )
    def test_exit_codes(self, shelf: Made, run_cli: Run, more: list[str], code: int, words: str) -> None:
        ran = run_cli(arguments(shelf, *more))
        assert (ran.code, ran.out) == (code, "")
        assert words in ran.err
        assert "Traceback" not in ran.err

    def test_scores_that_are_no_numbers(
        self, shelf: Made, run_cli: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "qembed.commands.bench.bench.open_reranker",
            lambda spec, *, options: FakeReranker("nan", lambda query, text: float("nan")),
        )
        ran = run_cli(arguments(shelf, "-r", "nan"))
        assert (ran.code, ran.out) == (5, "")
        assert "nan gives 'c:" in ran.err
        assert "for the query 'q00'" in ran.err

    def test_an_eval_set_of_another_corpus(self, shelf: Made, run_cli: Run) -> None:
        (shelf.eval_set / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq00\telse\t1\n")
        ran = run_cli(arguments(shelf))
        assert (ran.code, ran.out) == (5, "")
        assert "its chunks are called like 'c:00'" in ran.err


class TestQuestions:
    """Questions without judgements: every system runs, everything is stored, and the next step is said."""

    def command(self, made: Made, folder: Path) -> list[str | Path]:
        file = folder / "questions.csv"
        lines = (made.eval_set / "queries.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        file.write_text("id,question\n" + "".join(f'{row["_id"]},"{row["text"]}"\n' for row in rows))
        return [
            "bench",
            made.embeddings,
            "--queries",
            file,
            "-q",
            "--query-vectors",
            made.query_vectors,
            "--reports",
            folder / "reports",
        ]

    def other(self, folder: Path) -> Path:
        items = [
            Item(f"c:{n}", f"Topic{n} is told here, at length {n * 7 % 11}.", [1, n, n * n % 7] + [n % 3] * 9)
            for n in range(40)
        ]
        return write_embeddings(folder / "old", items)

    def test_for_people(self, shelf: Made, run_cli: Run, golden: Golden, tmp_path: Path) -> None:
        baseline = ["--baseline", self.other(tmp_path), "--baseline-query-vectors", shelf.query_vectors]
        ran = run_cli([*self.command(shelf, tmp_path), *baseline, "--latency-queries", "0"])
        assert (ran.code, ran.err) == (0, "")
        shown = re.sub(r"(?m)^Wrote .*\n", "", re.sub(r"--bench \S+", "--bench REPORT", ran.out))
        assert narrow(shown)
        golden("bench_questions", shown)

    def test_it_is_stored_as_any_bench(self, shelf: Made, run_cli: Run, tmp_path: Path) -> None:
        ran = run_cli([*self.command(shelf, tmp_path), *both(shelf), "--json"])
        document = json.loads(ran.out)
        folder = Path(document["folder"])
        assert (document["judged"], document["measures"], document["gates"]) == (False, [], [])
        names = [system["name"] for system in document["systems"]]
        assert names == ["vectors", "bm25", "vectors + bm25", "baseline"]
        assert document["agreements"]["baseline"]["overlap"]["10"]["mean"] == 1
        assert document["agreements"]["bm25"]["rank_biased_overlap"]["mean"] < 1
        assert all((folder / system["run"]).is_file() for system in document["systems"])
        hits = [json.loads(line) for line in (folder / "hits.jsonl").read_text().splitlines()]
        assert len(hits) == document["eval_set"]["queries"] == 20
        assert all(set(hit["systems"]) == set(names) and hit["judged"] == {} for hit in hits)
        rows = list(csv.DictReader((folder / "unjudged.csv").read_text().splitlines()))
        worth = [(float(row["could_decide"]), float(row["could_change"])) for row in rows]
        assert worth == sorted(worth, reverse=True)
        assert worth[0] == (0, 1), "the baseline is the same vectors"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--gate", "nDCG@10>=0.5"], "--gate needs judgements"),
            (["--measure", "MAP"], "--measure needs judgements"),
            (["--margin", "0.02"], "--margin needs judgements"),
            (["--split", "dev"], "--split needs judgements"),
            (["-e", "python_api"], "give --eval-set FOLDER; or --queries FILE"),
        ],
    )
    def test_no_option_is_ignored(
        self, shelf: Made, run_cli: Run, tmp_path: Path, options: list[str], words: str
    ) -> None:
        ran = run_cli([*self.command(shelf, tmp_path), *options])
        assert (ran.code, ran.out) == (2, "")
        assert words in " ".join(ran.err.split())

    def test_neither_questions_nor_judgements(self, shelf: Made, run_cli: Run) -> None:
        ran = run_cli(["bench", shelf.embeddings])
        assert (ran.code, ran.out) == (2, "")
        assert "--queries FILE" in ran.err

    def test_what_the_baseline_lacks_is_said_before_anything_is_computed(
        self, shelf: Made, run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qembed.commands.bench.bench.ask", lambda *_, **__: pytest.fail("computed"))
        ran = run_cli([*self.command(shelf, tmp_path), "--baseline", self.other(tmp_path)])
        assert (ran.code, ran.out) == (2, "")
        assert "--baseline-model" in ran.err

    def test_nothing_in_common(self, shelf: Made, run_cli: Run, tmp_path: Path) -> None:
        old = write_embeddings(tmp_path / "old", [Item("z:1", "Another text.", [1.0] * 12)])
        baseline = ["--baseline", old, "--baseline-query-vectors", shelf.query_vectors]
        ran = run_cli([*self.command(shelf, tmp_path), *baseline])
        assert ran.code == 5
        assert "no chunk in common" in ran.err
