"""A bench as files: what is in them, that other tools read the same numbers from them, and crashes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import pytrec_eval
from bench_folders import (
    FakeReranker,
    Item,
    Made,
    by_length,
    library,
    make,
    oracle,
    write_embeddings,
    write_query_vectors,
)

from qembed.commands.bench.bench import bench
from qembed.commands.bench.result import BenchResult
from qembed.commands.bench.store import as_document, store_bench
from qembed.errors import QembedError, UsageError
from qembed.evaluation.diagnose.decisive import Unjudged
from qembed.evaluation.diagnose.waterfall import STAGES
from qembed.evaluation.eval_sets.bundled import bundled_eval_sets
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import evaluate
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run
from qembed.report import storing
from qembed.report.hits import SHOWN
from qembed.report.storing import file_name, new_folder

FAKES: dict[str, Callable[[str, str], float]] = {"good": oracle, "bad": by_length}


def run(made: Made, **options: Any) -> BenchResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "qembed.commands.bench.bench.open_reranker",
            lambda spec, *, options: FakeReranker(spec, FAKES[spec]),
        )
        return bench(made.embeddings, made.eval_set, made.options(**options))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return library(tmp_path_factory.mktemp("store"), level="page")


@pytest.fixture(scope="module")
def result(made: Made) -> BenchResult:
    return run(
        made,
        rerankers=("good", "bad"),
        depths=(5, 20),
        baseline=made.embeddings,
        baseline_query_vectors=made.query_vectors,
        gates=("nDCG@10>=0.1", "recall@20 no worse than baseline"),
        latency_queries=2,
    )


@pytest.fixture(scope="module")
def folder(result: BenchResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_bench(result, tmp_path_factory.mktemp("reports") / "made" / "if need be")


def document(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def lines(file: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


class TestDocument:
    def test_keys(self, folder: Path) -> None:
        found = document(folder)
        assert list(found) == [
            "schema",
            "command",
            "created",
            "seconds",
            "passed",
            "judged",
            "eval_set",
            "sides",
            "measures",
            "systems",
            "ceilings",
            "waterfalls",
            "frontiers",
            "answerability",
            "unjudged",
            "unjudged_queries",
            "outlook",
            "judges",
            "qrels",
            "agreements",
            "gates",
            "findings",
            "options",
            "environment",
        ]
        assert found["schema"] == "qembed.bench/2"
        assert list(found["systems"][3]) == [
            "name",
            "kind",
            "run",
            "estimates",
            "comparisons",
            "difference_whatever_the_holes",
            "pool",
            "latency_ms",
            "reranking",
            "info",
        ]
        assert list(found["systems"][3]["estimates"]["nDCG@10"]) == ["mean", "low", "high", "n"]
        comparison = found["systems"][3]["comparisons"]["nDCG@10"]
        assert {"difference", "low", "high", "p", "p_adjusted", "verdict", "queries_needed", "wins"} < set(
            comparison
        )
        assert set(found["waterfalls"]["vectors"]["shares"]) == set(STAGES)
        assert list(found["frontiers"]["vectors > good"]) == [
            "measure",
            "points",
            "best",
            "chosen",
            "falls_after",
            "too_shallow",
        ]

    def test_what_decides_the_numbers_is_in_it(self, folder: Path, made: Made) -> None:
        found = document(folder)
        assert found["eval_set"]["queries"] == 20
        assert found["eval_set"]["level"] == "page"
        assert len(found["eval_set"]["sha256"]) == 64
        assert [side["relevant_absent"] for side in found["sides"]] == [0, 0]
        assert found["sides"][0]["embeddings"] == str(made.embeddings / "c_embeddings.jsonl")
        assert found["options"]["baseline"] == str(made.embeddings)
        assert found["options"]["rerankers"] == ["good", "bad"]
        assert (found["options"]["seed"], found["options"]["resamples"]) == (0, 200)
        assert found["environment"]["qembed"]
        assert found["environment"]["evaluation_libraries"]["ranx"]
        assert found["systems"][3]["info"] == {"kind": "fake", "id": "good"}
        assert found["systems"][3]["reranking"]["pairs_per_second"] == 20 * 20 / 2.0
        assert found["gates"][0]["outcome"] == "holds"
        assert found["gates"][1]["gate"] == "recall@20 no worse than baseline"

    def test_the_same_as_printed(self, result: BenchResult, folder: Path) -> None:
        printed = orjson.loads(orjson.dumps(as_document(result)))
        stored = document(folder)
        for found in (printed, stored):
            found["environment"].pop("command")
        assert printed == stored

    def test_what_is_undefined_is_null_and_not_nan(self, tmp_path: Path) -> None:
        made = library(tmp_path, queries=1)
        text = (store_bench(run(made), tmp_path / "reports") / "bench.json").read_text()
        assert "NaN" not in text
        assert (
            document(tmp_path / "reports" / "0001_library")["systems"][0]["estimates"]["nDCG@10"]["low"]
            is None
        )

    def test_the_hash_is_of_what_was_read(self, made: Made, result: BenchResult, tmp_path: Path) -> None:
        before = as_document(result)["eval_set"]["sha256"]
        (made.eval_set / "corpus.jsonl").write_text("{}")
        (made.eval_set / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n")
        assert as_document(result)["eval_set"]["sha256"] == before
        card = made.eval_set / "card.toml"
        text = card.read_text()
        card.write_text(text + 'description = "another"\n')
        assert as_document(result)["eval_set"]["sha256"] != before
        card.write_text(text)

    def test_trec_qrels_are_hashed_too(self, tmp_path: Path) -> None:
        made = library(tmp_path)
        file = made.eval_set / "qrels" / "test.tsv"
        text = "".join(f"q{n:02d} 0 c:{n:02d} 1\n" for n in range(20))
        file.with_suffix(".txt").write_text(text)
        file.unlink()
        found = run(made)
        before = as_document(found)["eval_set"]["sha256"]
        file.with_suffix(".txt").write_text(text.replace("c:00 1", "c:00 2"))
        assert as_document(found)["eval_set"]["sha256"] != before


class TestRuns:
    def test_they_evaluate_to_the_same_numbers(self, result: BenchResult, folder: Path) -> None:
        for row, system in zip(result.rows, document(folder)["systems"], strict=True):
            stored = read_run(folder / system["run"])
            frame = evaluate(result.qrels, stored, result.measures)
            assert frame.equals(row.values)
            for query, scores in row.system.run.items():
                assert ranked(stored.get(query, {})) == ranked(scores)
        assert len(list((folder / "runs").glob("*.trec"))) == len(result.rows)

    def test_names_that_would_be_one_file(self, made: Made, tmp_path: Path) -> None:
        FAKES.update({"a/b": oracle, "a-b": by_length, "a b": oracle, "long/" * 80: oracle})
        found = run(made, rerankers=("a/b", "a-b", "a b", "long/" * 80))
        folder = store_bench(found, tmp_path)
        files = [system["run"] for system in document(folder)["systems"]]
        assert files[3:6] == [
            "runs/vectors-a-b.trec",
            "runs/vectors-a-b-2.trec",
            "runs/vectors-a-b-3.trec",
        ]
        assert len(set(files)) == len(files) == 7
        assert all((folder / file).is_file() for file in files)
        stored = read_run(folder / files[4])
        assert ranked(stored["q00"]) == ranked(found.rows[4].system.run["q00"])


class TestTables:
    def test_values_by_query(self, result: BenchResult, folder: Path) -> None:
        found = rows(folder / "per_query.csv")
        assert len(found) == len(result.rows) * 20
        assert list(found[0]) == ["query_id", "query", "system", "nDCG@10", "recall@10", "judged@10"]
        for row in result.rows:
            mine = [line for line in found if line["system"] == row.system.name]
            assert [float(line["nDCG@10"]) for line in mine] == pytest.approx(
                row.values["nDCG@10"].tolist(), abs=1e-6
            )
        assert found[1]["query"] == "?! ..."

    def test_losses(self, result: BenchResult, folder: Path) -> None:
        found = rows(folder / "losses.csv")
        for name, waterfall in result.waterfalls.items():
            mine = [line for line in found if line["system"] == name]
            assert len(mine) == len(waterfall.losses)
            relevant: dict[str, int] = {}
            for line in mine:
                relevant[line["query_id"]] = relevant.get(line["query_id"], 0) + 1
            recall = sum(1 / relevant[line["query_id"]] for line in mine if line["stage"] == "found")
            assert recall / len(relevant) == pytest.approx(waterfall.shares["found"])

    def test_unjudged(self, result: BenchResult, folder: Path) -> None:
        found = rows(folder / "unjudged.csv")
        assert len(found) == len(result.unjudged) == document(folder)["unjudged"] > 0
        assert found[0] == dict(zip(Unjudged._fields, map(str, result.unjudged[0]), strict=True))

    def test_a_query_without_a_value_is_empty(self, tmp_path: Path) -> None:
        items = [Item("c:0", 'x, "quoted"\nand more', [1, 0]), Item("c:1", "y", [0, 1])]
        made = make(
            tmp_path,
            items,
            {"q": ('two\nlines, "quoted"', [1, 0]), "u": ("none", [0, 1])},
            ["q c:0 1", "u c:1 0"],
        )
        folder = store_bench(run(made, bm25=False), tmp_path / "reports")
        first, second = rows(folder / "per_query.csv")
        assert first["query"] == 'two\nlines, "quoted"'
        assert (first["nDCG@10"], second["nDCG@10"]) == ("1.000000", "")


class TestHits:
    def test_they_are_the_first_of_each_run(self, result: BenchResult, folder: Path) -> None:
        found = lines(folder / "hits.jsonl")
        assert [line["query_id"] for line in found] == list(result.qrels)
        for line in found:
            query = line["query_id"]
            assert line["judged"] == result.qrels[query]
            assert line["text"] == result.eval_set.queries[query]
            assert list(line["systems"]) == [row.system.name for row in result.rows]
            for row in result.rows:
                shown = line["systems"][row.system.name]
                scores = row.system.run[query]
                order = ranked(scores)
                assert [hit["unit"] for hit in shown["hits"]] == order[:SHOWN]
                assert [hit["score"] for hit in shown["hits"]] == [scores[unit] for unit in order[:SHOWN]]
                assert shown["ranks_of_relevant"] == {
                    unit: order.index(unit) + 1
                    for unit, grade in result.qrels[query].items()
                    if grade > 0 and unit in order
                }

    def test_every_text_that_is_shown_once(self, result: BenchResult, folder: Path) -> None:
        texts = {(line["side"], line["chunk_id"]): line for line in lines(folder / "texts.jsonl")}
        assert len(texts) == len(lines(folder / "texts.jsonl"))
        used = set()
        for line in lines(folder / "hits.jsonl"):
            for name, shown in line["systems"].items():
                assert shown["side"] == int(name.startswith("baseline"))
                for hit in shown["hits"]:
                    key = (shown["side"], hit["chunk_id"])
                    used.add(key)
                    assert hit["unit"] in texts[key]["pages"]
        assert used == set(texts)
        side = result.sides[0].collection
        for (_, chunk_id), line in texts.items():
            at = side.ids.index(chunk_id)
            assert line["text"] == side.texts[at]
            assert line["chunks"] == (2 if at % 4 == 0 else 1)
            assert line["tokens"] == 10 + at

    def test_the_chunk_is_the_one_that_gave_the_page_its_score(
        self, result: BenchResult, folder: Path
    ) -> None:
        vectors = result.rows[0].system
        for line in lines(folder / "hits.jsonl"):
            for hit in line["systems"]["vectors"]["hits"]:
                assert vectors.texts[line["query_id"]][hit["chunk_id"]] == hit["score"]


class TestFolders:
    def test_numbered_in_order_whatever_lies_there(self, result: BenchResult, tmp_path: Path) -> None:
        (tmp_path / "notes").mkdir()
        (tmp_path / "0007_other").mkdir()
        (tmp_path / "12_not_ours").mkdir()
        (tmp_path / "0099_x.html").write_text("")
        names = [store_bench(result, tmp_path, name).name for name in (None, "My run: 1/2", "library")]
        assert names == ["0100_library", "0101_My-run-1-2", "0102_library"]

    def test_another_bench_was_faster(
        self, result: BenchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, tried = Path.mkdir, []

        def mkdir(self: Path, *args: Any, **more: Any) -> None:
            if self.name == "0001_library" and not tried:
                tried.append(self)
                real(self)
            real(self, *args, **more)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        assert store_bench(result, tmp_path).name == "0002_library"

    def test_benches_at_once_get_numbers_of_their_own(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            folders = list(pool.map(lambda at: new_folder(tmp_path, f"name{at}"), range(24)))
        assert sorted(folder.name[:4] for folder in folders) == [f"{at:04d}" for at in range(1, 25)]

    @pytest.mark.parametrize("name", ["/", "  ", " - "])
    def test_a_name_of_nothing(self, result: BenchResult, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="cannot name a report") as caught:
            store_bench(result, tmp_path, name)
        assert "--name" in str(caught.value.remedy)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("system", "file"),
        [
            ("vectors > maxsim:minilm", "vectors-maxsim-minilm"),
            ("vectors + bm25", "vectors-bm25"),
            ("baseline > ../my models/ce_v1.2", "baseline-..-my-models-ce_v1.2"),
        ],
    )
    def test_file_names(self, system: str, file: str) -> None:
        assert file_name(system) == file

    @pytest.mark.parametrize("step", ["write_runs", "_write_csv", "write_hits", "write_json"])
    def test_an_interrupted_write_leaves_no_document(
        self, result: BenchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        def full(*args: Any, **more: Any) -> None:
            raise QembedError("cannot write: no space left on device")

        monkeypatch.setattr(storing, step, full)
        with pytest.raises(QembedError, match="no space"):
            store_bench(result, tmp_path)
        assert list(tmp_path.glob("*/bench.json")) == []
        monkeypatch.undo()
        assert (store_bench(result, tmp_path) / "bench.json").is_file()
        assert [path.name for path in sorted(tmp_path.glob("[!.]*"))] == ["0001_library", "0002_library"]


class TestLengths:
    def test_bins_hold_every_text_and_have_an_edge_at_the_limit(self, result: BenchResult) -> None:
        lengths = as_document(result)["sides"][0]["lengths"]
        assert sum(lengths["counts"]) == len(result.sides[0].collection)
        assert len(lengths["counts"]) == len(lengths["edges"])
        assert lengths["edges"] == sorted(lengths["edges"])
        assert lengths["longest"] == 49

    @pytest.mark.parametrize("tokens", [[1], [3, 3, 3], [5, 6, 7, 300], list(range(1, 200)), [0]])
    def test_any_lengths(self, tmp_path: Path, tokens: list[int]) -> None:
        items = [Item(f"c:{at}", f"t{at}", [1, at], tokens=count) for at, count in enumerate(tokens)]
        made = make(tmp_path, items, {"q": ("x", [1, 0])}, ["q c:0 1"])
        lengths = as_document(run(made, bm25=False))["sides"][0]["lengths"]
        assert sum(lengths["counts"]) == len(tokens)
        assert len(lengths["counts"]) <= 40
        assert np.all(np.diff(lengths["edges"]) > 0)

    def test_unknown(self, tmp_path: Path) -> None:
        made = make(tmp_path, [Item("c:0", "x", [1, 0])], {"q": ("x", [1, 0])}, ["q c:0 1"])
        assert as_document(run(made))["sides"][0]["lengths"] is None
        assert math.isnan(run(made).rows[0].estimates["nDCG@10"].low)


def page_collection(judged: EvalSet, folder: Path) -> Made:
    """Made-up texts and vectors for the pages or chunks of an eval set, and half as many unjudged ones."""
    names = sorted({item for grades in judged.qrels.values() for item in grades})
    random = np.random.default_rng(0)
    items = []
    for at, name in enumerate([*names, *(f"other/page {at}" for at in range(len(names) // 2))]):
        subdirectory, _, page = name.rpartition("/")
        texts = [f"menu {at % 9}", *(f"{page} part {n} of {at}" for n in range(1 + at % 3))]
        if judged.card.level == "chunk":
            items.append(Item(name, texts[-1], random.standard_normal(16).tolist()))
            continue
        vectors = [random.standard_normal(16).tolist() for _ in texts]
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            items.append(Item(f"c:{at:05d}:{n}", text, vector, page=page, subdirectory=subdirectory))
    queries = {name: random.standard_normal(16).tolist() for name in judged.queries}
    vectors_of_queries = write_query_vectors(folder / "queries", queries)
    return Made(write_embeddings(folder / "new", items), vectors_of_queries, judged.folder)


@pytest.mark.parametrize("name", bundled_eval_sets())
def test_trec_eval_prints_our_numbers_from_the_stored_files(name: str, tmp_path: Path) -> None:
    measures = {
        "nDCG@10": "ndcg_cut_10",
        "nDCG": "ndcg",
        "recall@100": "recall_100",
        "precision@10": "P_10",
        "MRR": "recip_rank",
        "MAP": "map",
        "MAP@10": "map_cut_10",
        "Rprec": "Rprec",
        "hit@10": "success_10",
    }
    made = page_collection(load_eval_set(name), tmp_path)
    result = bench(made.embeddings, made.eval_set, made.options(measures=tuple(measures), resamples=100))
    folder = store_bench(result, tmp_path / "reports")
    with (folder / "runs" / "qrels.txt").open(encoding="utf-8") as file:
        qrels: Qrels = {}
        for line in file:
            query, _, unit, grade = line.rstrip("\n").split("\t")
            qrels.setdefault(query, {})[unit] = int(grade)
    assert qrels.keys() == {q for q, grades in result.qrels.items() if any(grades.values())}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(measures.values()))
    for system in as_document(result)["systems"]:
        lines = (folder / system["run"]).read_text(encoding="utf-8").splitlines()
        stored: Run = {}
        for query, _, unit, _, score, _ in (line.split("\t") for line in lines):
            stored.setdefault(query, {})[unit] = float(score)
        theirs = evaluator.evaluate(stored)
        for ours, measure in measures.items():
            found = [theirs[query][measure] if query in theirs else 0.0 for query in qrels]  # trec_eval -c
            assert system["estimates"][ours]["mean"] == pytest.approx(np.mean(found), abs=1e-9), ours
            assert system["estimates"][ours]["n"] == len(qrels)
