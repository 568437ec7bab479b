"""``bench``: every system's numbers against numbers made another way, and what it says of bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import (
    FakeReranker,
    Item,
    Made,
    by_length,
    library,
    library_items,
    make,
    oracle,
    write_embeddings,
    write_query_vectors,
)
from eval_folders import eval_folder

from qembed.commands.bench.bench import BenchResult, bench
from qembed.commands.bench.options import BenchOptions
from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.errors import (
    DimensionMismatch,
    InputNotFound,
    Mismatch,
    ModelUnreachable,
    QembedError,
    UsageError,
)
from qembed.evaluation.diagnose.waterfall import STAGES
from qembed.evaluation.rerank.open import DEFAULT_RERANKER
from qembed.evaluation.retrieve.bm25 import BM25
from qembed.evaluation.retrieve.fusion import reciprocal_rank_fusion
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.systems.rows import Row
from qembed.evaluation.systems.system import system_names
from qembed.models import EncoderOptions
from qembed.records import Qrels, Run

Fake = Callable[..., FakeReranker]
CPU = EncoderOptions(device="cpu", precision="fp32")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """``fake("name", function)``: a reranker that ``--reranker name`` opens."""
    known: dict[str, FakeReranker] = {}

    def register(name: str, score: Callable[[str, str], float], **more: Any) -> FakeReranker:
        known[name] = FakeReranker(name, score, **more)
        return known[name]

    monkeypatch.setattr("qembed.commands.bench.bench.open_reranker", lambda spec, *, options: known[spec])
    return register


@pytest.fixture
def shelf(tmp_path: Path) -> Made:
    return library(tmp_path)


def run(made: Made, **options: Any) -> BenchResult:
    return bench(made.embeddings, made.eval_set, made.options(**options))


def both(made: Made) -> dict[str, Any]:
    """The same as baseline."""
    return {"baseline": made.embeddings, "baseline_query_vectors": made.query_vectors}


def row_of(result: BenchResult, name: str) -> Row:
    return next(row for row in result.rows if row.system.name == name)


def ndcg(qrels: Qrels, scores: Run, k: int = 10) -> float:
    """Written down once more, in another way than the package does."""
    values = []
    for query, grades in qrels.items():
        best = sorted(grades.values(), reverse=True)[:k]
        if not any(best):
            continue
        found = sorted(scores.get(query, {}), key=lambda name: (-scores[query][name], name))[:k]
        gains = [grades.get(name, 0) for name in found]
        values.append(
            sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
            / sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best))
        )
    return sum(values) / len(values)


def cosines(items: Sequence[Item], queries: Mapping[str, Sequence[float]]) -> Run:
    """Of the first chunk with each text, under the smallest id of that text."""
    first: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: item.id):
        first.setdefault(item.text, item)
    vectors = np.array([item.vector for item in first.values()], dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [item.id for item in first.values()]
    return {
        query: dict(zip(names, (vectors @ (np.array(vector) / np.linalg.norm(vector))).tolist(), strict=True))
        for query, vector in queries.items()
    }


def query_vectors(made: Made) -> dict[str, list[float]]:
    import orjson

    lines = (made.query_vectors / "c_embeddings.jsonl").read_bytes().splitlines()
    return {record["id"]: record["embedding"] for record in map(orjson.loads, lines)}


class TestSystems:
    def test_one_row_for_each_in_order(self, shelf: Made, fake: Fake) -> None:
        fake("good", oracle)
        fake("bad", by_length)
        result = run(shelf, rerankers=("good", "bad", "good"), **both(shelf))
        with_baseline = [row.system.name for row in result.rows]
        assert with_baseline == [
            "vectors",
            "bm25",
            "vectors + bm25",
            "vectors > good",
            "vectors > bad",
            "baseline",
            "baseline > good",
            "baseline > bad",
        ]
        assert system_names(result.options) == with_baseline
        assert [row.system.kind for row in result.rows[:4]] == ["vectors", "bm25", "fusion", "reranked"]

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            ({"bm25": False}, ["vectors"]),
            ({"fusion": False}, ["vectors", "bm25"]),
            ({}, ["vectors", "bm25", "vectors + bm25"]),
            ({"bm25_plain": True}, ["vectors", "bm25", "vectors + bm25", "bm25:plain"]),
            ({"bm25": False, "bm25_plain": True}, ["vectors", "bm25:plain"]),
        ],
    )
    def test_what_is_left_out(self, shelf: Made, options: dict[str, Any], names: list[str]) -> None:
        result = run(shelf, **options)
        assert [row.system.name for row in result.rows] == names == system_names(result.options)

    def test_vectors(self, shelf: Made) -> None:
        items, _ = library_items()
        result = run(shelf)
        expected = ndcg(result.qrels, cosines(items, query_vectors(shelf)))
        assert 0.2 < expected < 0.95
        assert result.rows[0].estimates["nDCG@10"].mean == pytest.approx(expected, abs=1e-9)
        assert result.rows[0].comparisons == {}
        assert result.rows[0].holes is None

    def test_bm25_and_fusion(self, shelf: Made) -> None:
        items, _ = library_items()
        texts = {item.text: item.id for item in reversed(items)}
        result = run(shelf, depths=(10,), measures=("nDCG@10",))
        asked = result.eval_set.queries
        bm25 = BM25(list(texts.values()), list(texts)).search_many(list(asked.values()), 10)
        words: Run = dict(zip(asked, bm25, strict=True))
        vectors = cosines(items, query_vectors(shelf))
        first = {
            query: {name: found[name] for name in ranked(found)[:10]} for query, found in vectors.items()
        }
        fused = {query: reciprocal_rank_fusion([first[query], words[query]]) for query in asked}
        assert row_of(result, "bm25").estimates["nDCG@10"].mean == pytest.approx(ndcg(result.qrels, words))
        assert row_of(result, "vectors + bm25").estimates["nDCG@10"].mean == pytest.approx(
            ndcg(result.qrels, fused)
        )
        assert words["q00"] != {}
        assert words["q01"] == {}  # punctuation only
        assert row_of(result, "bm25").values.loc["q01", "nDCG@10"] == 0
        info = row_of(result, "bm25").system.info
        assert info["queries_without_a_word_in_common"] == [query for query in asked if not words[query]]
        assert "k1 1.2" in info["recipe"]
        assert row_of(result, "vectors").system.info == {}

    def test_plain_bm25_reads_identifiers_as_one_word(self, tmp_path: Path) -> None:
        items = [
            Item("c:0", "call delete_points first", [1, 0]),
            Item("c:1", "points of a list", [0, 1]),
            Item("c:2", "近似最近邻搜索的索引", [1, 1]),
        ]
        asked = {"q": ("delete the thing", [1.0, 0.0]), "z": ("怎样建立索引", [0.0, 1.0])}
        made = make(tmp_path, items, asked, ["q c:0 1", "z c:2 1"])
        result = run(made, bm25_plain=True)
        assert set(row_of(result, "bm25").system.run["q"]) == {"c:0"}
        plain = row_of(result, "bm25:plain").system
        assert plain.run["q"] == {}
        assert plain.info["queries_without_a_word_in_common"] == ["q"]
        assert set(plain.run["z"]) == {"c:2"}

    def test_every_other_system_is_compared_with_the_first(self, shelf: Made, fake: Fake) -> None:
        fake("good", oracle)
        result = run(shelf, rerankers=("good",))
        for row in result.rows[1:]:
            assert set(row.comparisons) == {"nDCG@10", "recall@10"}
            comparison = row.comparisons["nDCG@10"]
            assert comparison.baseline == pytest.approx(result.rows[0].estimates["nDCG@10"].mean)
            assert comparison.system == pytest.approx(row.estimates["nDCG@10"].mean)
            assert row.holes is not None
            assert row.holes[0] <= comparison.difference + 1e-9 <= row.holes[1] + 2e-9
        good = row_of(result, "vectors > good").comparisons["nDCG@10"]
        assert good.difference > 0
        assert good.wins > good.losses
        assert good.family == 3


class TestReranking:
    def test_only_what_retrieval_found_and_each_pair_once(self, shelf: Made, fake: Fake) -> None:
        good = fake("good", oracle)
        result = run(shelf, rerankers=("good",), depths=(3, 8), measures=("nDCG@10", "recall@8"))
        vectors, reranked = result.rows[0], row_of(result, "vectors > good")
        side = result.sides[0]
        texts = dict(zip(side.collection.ids, side.collection.texts, strict=True))
        wanted = {
            (result.eval_set.queries[query], texts[name])
            for query, found in side.run.items()
            for name in ranked(found)[:8]
        }
        assert set(good.asked) == wanted
        assert len(good.asked) == len(wanted)
        for query in result.qrels:
            before, after = ranked(vectors.system.run[query]), ranked(reranked.system.run[query])
            assert set(after[:8]) == set(before[:8])
            assert after[8:] == before[8:]
        assert reranked.values["recall@8"].equals(vectors.values["recall@8"])

    def test_a_depth_beyond_the_collection(self, shelf: Made, fake: Fake) -> None:
        good = fake("good", oracle)
        result = run(shelf, rerankers=("good",), depths=(5, 500), measures=("nDCG@10",))
        assert len(good.asked) == 20 * 40
        assert [point.depth for point in result.frontiers["vectors > good"].points] == [0, 5, 40]
        assert set(result.ceilings) == {5, 40}
        # all 40 texts in the best order
        assert result.ceilings[40] == pytest.approx(1)

    def test_depth_one_changes_nothing(self, shelf: Made, fake: Fake) -> None:
        fake("bad", by_length)
        result = run(shelf, rerankers=("bad",), depths=(1,))
        row = row_of(result, "vectors > bad")
        assert row.values.equals(result.rows[0].values)
        comparison = row.comparisons["nDCG@10"]
        assert (comparison.p, comparison.difference, comparison.ties) == (1.0, 0.0, comparison.n)

    def test_the_frontier_joins_vectors_reranked_and_ceilings(self, shelf: Made, fake: Fake) -> None:
        fake("good", oracle)
        fake("bad", by_length)
        result = run(shelf, rerankers=("good", "bad"), depths=(2, 5, 20))
        for name, found in result.frontiers.items():
            at = {point.depth: point for point in found.points}
            assert at[0].quality == result.rows[0].estimates["nDCG@10"]
            assert at[20].quality == row_of(result, name).estimates["nDCG@10"]
            assert {depth: at[depth].ceiling for depth in (2, 5, 20)} == pytest.approx(result.ceilings)
            assert at[0].ceiling == pytest.approx(at[0].quality.mean)
            for point in found.points:
                assert point.quality.mean <= point.ceiling + 1e-9
        alone = run(shelf, rerankers=("good",), depths=(5,))
        assert (
            row_of(alone, "vectors > good").estimates["nDCG@10"]
            == {point.depth: point for point in result.frontiers["vectors > good"].points}[5].quality
        )
        assert result.frontiers["vectors > bad"].best == 0
        assert result.frontiers["vectors > good"].best > 0

    def test_what_could_not_be_scored_goes_last_as_it_was(self, shelf: Made, fake: Fake) -> None:
        fake("lame", lambda query, text: 1.0 if text.startswith("Topic3 ") else -math.inf)
        result = run(shelf, rerankers=("lame",), depths=(20,))
        before = ranked(result.rows[0].system.run["q03"])
        after = ranked(row_of(result, "vectors > lame").system.run["q03"])
        assert after == ["c:03", *(name for name in before if name != "c:03")]

    def test_all_equal_scores_are_ordered_by_id(self, shelf: Made, fake: Fake) -> None:
        fake("flat", lambda query, text: 0.0)
        result = run(shelf, rerankers=("flat",), depths=(10,))
        found = row_of(result, "vectors > flat").system.run["q00"]
        assert ranked(found)[:10] == sorted(ranked(found)[:10])

    def test_pairs_a_second(self, shelf: Made, fake: Fake) -> None:
        fake("good", oracle)
        result = run(shelf, rerankers=("good",), depths=(10,))
        assert row_of(result, "vectors > good").pairs_per_second == 20 * 10 / 2.0
        assert result.rows[0].pairs_per_second is None


class TestLosses:
    def test_shares_are_recall_and_its_loss(self, shelf: Made, fake: Fake) -> None:
        fake("bad", by_length)
        result = run(shelf, rerankers=("bad",), depths=(4, 12), measures=("recall@5", "recall@30"))
        assert set(result.waterfalls) == {"vectors", "vectors > bad"}
        for name, found in result.waterfalls.items():
            assert found.k == 5
            assert found.shares["found"] == pytest.approx(row_of(result, name).estimates["recall@5"].mean)
            assert sum(found.shares[stage] for stage in STAGES) == pytest.approx(1)
        reranked = result.waterfalls["vectors > bad"]
        assert reranked.shares["demoted"] > 0
        assert reranked.shares["depth"] > 0
        assert reranked.shares["below"] == 0
        assert result.waterfalls["vectors"].shares["below"] > 0

    def test_what_an_approximate_index_loses(self, shelf: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        from qembed.index import ExactIndex

        class Forgetful(ExactIndex):
            exact = False

            def search_many(self, vectors: Any, *, depth: int) -> Any:
                return [
                    [hit for hit in hits if hit.chunk_id != "c:05"]
                    for hits in super().search_many(vectors, depth=depth)
                ]

        real = __import__("qembed.evaluation.systems.side", fromlist=["make_index"]).make_index
        monkeypatch.setattr(
            "qembed.evaluation.systems.side.make_index",
            lambda name, *made: Forgetful(*made) if name == "memory" else real(name, *made),
        )
        result = run(shelf, index="memory", measures=("recall@10",))
        stages = {(loss.query_id, loss.unit): loss.stage for loss in result.waterfalls["vectors"].losses}
        assert {stages["q04", "c:05"], stages["q05", "c:05"]} == {"index"}
        assert "c:05" not in result.sides[0].run["q05"]
        assert "c:05" in result.sides[0].exact_run["q05"]

    def test_a_text_that_was_cut(self, tmp_path: Path, tiny: Path) -> None:
        vectors = np.random.default_rng(0).standard_normal((300, 32))
        items = [
            Item(f"c:{n}", f"text {n}", vector.tolist(), tokens=10 + 90 * (n % 2))
            for n, vector in enumerate(vectors)
        ]
        made = make(tmp_path, items, {"q": ("x", [1.0] * 32)}, [f"q c:{n} 1" for n in range(40)])
        result = run(
            made, query_vectors=None, model=str(tiny), depths=(1,), measures=("recall@1",), encoder=CPU
        )
        stages = {loss.unit: loss.stage for loss in result.waterfalls["vectors"].losses}
        assert result.sides[0].max_tokens == 24
        found = result.rows[0].system.run["q"]
        assert len(found) == 100
        lost = {unit: stage for unit, stage in stages.items() if unit not in found}
        assert set(lost.values()) == {"cut", "missed"}
        assert all((stage == "cut") == (int(unit[2:]) % 2 == 1) for unit, stage in lost.items())


class TestBaseline:
    def test_itself_is_equivalent(self, shelf: Made) -> None:
        result = run(shelf, **both(shelf), margin=0.2)
        comparison = row_of(result, "baseline").comparisons["nDCG@10"]
        assert (comparison.verdict, comparison.p, comparison.p_adjusted) == ("equivalent", 1.0, 1.0)
        assert (comparison.difference, comparison.ties) == (0.0, comparison.n)
        assert result.absent == (0, 0)

    def test_other_chunk_ids_meet_the_same_qrels(self, shelf: Made, tmp_path: Path) -> None:
        """Shifted ids above all: chunk 5 of the one is chunk 6 of the other."""
        items, _ = library_items()
        for number, rename in enumerate(
            (
                lambda name: f"elsewhere/{name}",
                lambda name: f"c:{(int(name[2:4]) + 1) % 40:02d}{name[4:]}",
                lambda name: f"z{99 - int(name[2:4])}{name[4:]}",
            )
        ):
            old = [replace(item, id=rename(item.id)) for item in items]
            folder = write_embeddings(tmp_path / f"old{number}", old)
            result = run(shelf, baseline=folder, baseline_query_vectors=shelf.query_vectors)
            assert row_of(result, "baseline").values.equals(result.rows[0].values)

    def test_another_dimension(self, shelf: Made, tmp_path: Path) -> None:
        items, _ = library_items()
        old = write_embeddings(tmp_path / "old", [replace(item, vector=item.vector[:5]) for item in items])
        short = {name: vector[:5] for name, vector in query_vectors(shelf).items()}
        asked = write_query_vectors(tmp_path / "old_queries", short)
        result = run(shelf, baseline=old, baseline_query_vectors=asked)
        expected = cosines([replace(item, vector=item.vector[:5]) for item in items], short)
        assert row_of(result, "baseline").estimates["nDCG@10"].mean == pytest.approx(
            ndcg(result.qrels, expected)
        )
        assert [side.collection.dimension for side in result.sides] == [12, 5]

    def test_relevant_texts_that_it_lacks_are_counted(self, shelf: Made, tmp_path: Path) -> None:
        items, _ = library_items()
        old = write_embeddings(tmp_path / "old", [item for item in items if not item.id.startswith("c:03")])
        result = run(shelf, baseline=old, baseline_query_vectors=shelf.query_vectors)
        assert result.absent == (0, 1)

    def test_the_same_id_with_another_text_is_not_relevant_where_ids_have_shifted(
        self, tmp_path: Path
    ) -> None:
        new = [Item("c:0", "first", [1, 0]), Item("c:1", "second", [0, 1])]
        old = [
            Item("c:0", "preface", [1, 0]),
            Item("c:1", "first", [0.9, 0.1]),
            Item("c:2", "second", [0, 1]),
        ]
        made = make(tmp_path, new, {"q": ("x", [1, 0])}, ["q c:0 1"])
        folder = write_embeddings(tmp_path / "old", old)
        result = run(made, baseline=folder, baseline_query_vectors=made.query_vectors, measures=("MRR",))
        assert ranked(row_of(result, "baseline").system.run["q"]) == ["c:0 (another text)", "c:0", "c:1"]
        assert row_of(result, "baseline").estimates["MRR"].mean == 0.5

    def test_nothing_relevant_in_it(self, shelf: Made, tmp_path: Path) -> None:
        items, _ = library_items()
        old = [replace(item, id=f"other:{item.id}", text=f"cut {item.text}") for item in items]
        folder = write_embeddings(tmp_path / "old", old)
        with pytest.raises(Mismatch, match="none of the relevant chunks is in the baseline") as caught:
            run(shelf, baseline=folder, baseline_query_vectors=shelf.query_vectors)
        assert str(folder) in str(caught.value.where)
        assert 'level = "page"' in str(caught.value.remedy)

    def test_another_chunking_is_compared_by_pages(self, tmp_path: Path) -> None:
        made = library(tmp_path, level="page")
        items, _ = library_items()
        old = [
            replace(item, id=f"old:{number}:{item.id}", text=f"{part} {item.text}")
            for item in items
            for number, part in enumerate(("part one:", "part two:"))
        ]
        folder = write_embeddings(tmp_path / "old", old)
        result = run(made, baseline=folder, baseline_query_vectors=made.query_vectors)
        assert result.absent == (0, 0)
        assert [len(side.collection) for side in result.sides] == [40, 80]
        assert row_of(result, "baseline").estimates["nDCG@10"].mean == pytest.approx(
            result.rows[0].estimates["nDCG@10"].mean, abs=0.1
        )

    def test_each_side_is_asked_by_its_own_model(
        self,
        tmp_path: Path,
        write_chunks: Callable[..., Path],
        tiny_models: Callable[[str], Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The manifest names model and prompt; a revision that is asked for is the first model's."""
        pages = {"docs/a": ["vector search", "point index"], "docs/b": ["filter a model", "chunk of text"]}
        chunks = write_chunks(tmp_path / "chunks", pages)
        for kind in ("prompted", "wide"):
            embed(chunks, tmp_path / kind, EmbedOptions(model=str(tiny_models(kind)), encoder=CPU))
        rows = ["q chunks:docs:a.md:chunk:0 1", "r chunks:docs:b.md:chunk:1 1"]
        folder = eval_folder(tmp_path / "set", {"q": "vector", "r": "text"}, {"test": rows})
        seen = []
        real = bench.__globals__["open_side"]

        def spy(options: Any, *args: Any, **more: Any) -> Any:
            seen.append(options.encoder.revision)
            return real(options, *args, **more)

        monkeypatch.setattr("qembed.commands.bench.bench.open_side", spy)
        options = BenchOptions(
            baseline=tmp_path / "wide",
            measures=("nDCG@10",),
            latency_queries=1,
            encoder=replace(CPU, revision="v2"),
        )
        result = bench(tmp_path / "prompted", folder, options)
        assert seen == [None]
        new, old = result.sides
        assert new.encoder is not None
        assert old.encoder is not None
        assert (new.encoder.info.query_prompt, new.queries.shape) == ("query: ", (2, 32))
        assert (old.encoder.info.query_prompt, old.queries.shape) == ("", (2, 48))
        assert set(result.rows[0].stages) == {"encode", "retrieve"}


class TestUnits:
    def test_a_copy_of_a_relevant_chunk_is_not_a_mistake(self, tmp_path: Path) -> None:
        items = [
            Item("c:b", "the answer", [1, 0]),
            Item("c:a", "the answer", [1, 0]),
            Item("c:x", "something else", [0.9, 0.1]),
        ]
        made = make(
            tmp_path, items, {"q": ("x", [1, 0]), "r": ("x", [1, 0])}, ["q c:b 2", "r c:x 1", "r c:b 1"]
        )
        result = run(made, measures=("nDCG@10", "recall@1", "judged@10"))
        assert result.qrels == {"q": {"c:a": 2}, "r": {"c:x": 1, "c:a": 1}}
        assert result.rows[0].values.loc["q"].tolist() == [1.0, 1.0, 0.5]
        assert result.rows[0].values.loc["r"].tolist() == [1.0, 0.5, 1.0]
        assert len(result.sides[0].collection) == 2

    def test_no_number_depends_on_which_other_measures_are_asked_for(
        self, tmp_path: Path, fake: Fake
    ) -> None:
        fake("good", oracle)
        rng = np.random.default_rng(1)
        items = [
            Item(f"c:{page}:{at}", text, rng.standard_normal(8).tolist(), page=f"p{page}.md")
            for page in range(150)
            for at, text in enumerate([f"menu {page % 7}", *(f"word{n} of {page}" for n in range(3))])
        ]
        queries = {
            f"q{n}": (f"word{n % 3} of {n} menu {n % 7}", rng.standard_normal(8).tolist()) for n in range(8)
        }
        qrels = [
            f"q{n} docs/p{(31 * n + 17 * at) % 150}.md {1 + at % 2}" for n in range(8) for at in range(9)
        ]
        made = make(tmp_path, items, queries, qrels, card='name = "set"\nlevel = "page"\n')
        asked = ("nDCG@10", "recall@100", "MAP", "Rprec", "nDCG")
        options = {"rerankers": ("good",), "depths": (5, 30), "gates": ("MAP>=0.1",)}
        results = [run(made, measures=measures, **options) for measures in (asked, (*asked, "recall@140"))]
        assert [result.sides[0].results for result in results] == [100, 140]
        few, many = results
        for one, other in zip(few.rows, many.rows, strict=True):
            assert {len(found) for found in one.system.run.values()} == {100}
            if one.system.kind != "bm25":
                assert {len(found) for found in other.system.run.values()} == {140}
            assert one.values.equals(other.values[list(asked)])
            assert one.holes == other.holes
            assert one.comparisons == {name: other.comparisons[name] for name in one.comparisons}
        assert few.waterfalls == many.waterfalls
        assert few.frontiers.keys() == many.frontiers.keys()
        for name, found in few.frontiers.items():
            for point, same in zip(found.points, many.frontiers[name].points, strict=True):
                assert (point.quality, point.ceiling) == (same.quality, same.ceiling)
        assert few.ceilings == many.ceilings
        assert few.unjudged == many.unjudged
        assert [gated.result for gated in few.gates] == [gated.result for gated in many.gates]

    @pytest.mark.parametrize("how", ["same text", "group"])
    def test_copies_of_queries_do_not_make_a_verdict_more_certain(
        self, tmp_path: Path, how: str, fake: Fake
    ) -> None:
        fake("bad", by_length)
        once = library(tmp_path / "once")
        result = run(once, rerankers=("bad",), bm25=False)
        texts, vectors, rows = [], {}, []
        for at in range(5):
            for query, text in result.eval_set.queries.items():
                name = f"{query}-{at}"
                asked = text if how == "same text" else f"{text} {'?' * at}"
                line: dict[str, Any] = {"_id": name, "text": asked}
                texts.append(line if how == "same text" else line | {"group": query})
                vectors[name] = query_vectors(once)[query]
                rows += [f"{name}\t{item}\t{grade}" for item, grade in result.eval_set.qrels[query].items()]
        folder = tmp_path / "often"
        (folder / "qrels").mkdir(parents=True)
        (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, texts)))
        (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
        often = replace(
            once, eval_set=folder, query_vectors=write_query_vectors(tmp_path / "vectors", vectors)
        )
        copied = run(often, rerankers=("bad",), bm25=False)
        one = row_of(result, "vectors > bad").comparisons["nDCG@10"]
        many = row_of(copied, "vectors > bad").comparisons["nDCG@10"]
        assert (many.n, one.n) == (100, 20)
        assert many.difference == pytest.approx(one.difference)
        assert many.p == pytest.approx(one.p, abs=0.02)
        first, again = (found.rows[0].estimates["nDCG@10"] for found in (result, copied))
        assert (again.low, again.high) == pytest.approx((first.low, first.high), abs=1e-6)

    def test_pages(self, tmp_path: Path) -> None:
        made = library(tmp_path, level="page")
        result = run(made)
        assert result.eval_set.card.level == "page"
        assert all(name.startswith("docs/p") for grades in result.qrels.values() for name in grades)
        scores = result.rows[0].system.run["q00"]
        assert len(scores) <= 20
        texts = result.sides[0].run["q00"]
        own = {name: score for name, score in texts.items() if int(name[2:4]) % 4}  # without a copy elsewhere
        for name, score in own.items():
            assert scores[f"docs/p{int(name[2:4]) // 2}.md"] >= score
        assert max(scores.values()) == max(texts.values())

    def test_unjudged_units_of_the_first_ten(self, shelf: Made) -> None:
        result = run(shelf, bm25=False)
        query, unit, rank, could_decide, could_change = result.unjudged[0]
        assert could_decide == could_change == 0  # there is nothing to compare
        assert rank == 1
        assert unit not in result.qrels[query]
        assert ranked(result.rows[0].system.run[query])[0] == unit
        ranks = [one.best_rank for one in result.unjudged]
        assert ranks == sorted(ranks)
        judged = result.rows[0].values["judged@10"].sum() * 10
        assert len(result.unjudged) == round(10 * 20 - judged)

    def test_queries_without_an_answer(self, tmp_path: Path) -> None:
        """They have no value, and the best score tells them from the others, or not."""
        items = [Item(f"c:{n}", f"text {n}", np.eye(8)[n].tolist()) for n in range(8)]
        near = {f"q{n}": ("x", (np.eye(8)[n] + 0.1).tolist()) for n in range(4)}
        far = {f"u{n}": ("x", [1.0] * 8) for n in range(5)}
        rows = [*(f"q{n} c:{n} 1" for n in range(4)), *(f"u{n} c:0 0" for n in range(5))]
        result = run(make(tmp_path, items, {**near, **far}, rows), bm25=False)
        assert result.rows[0].estimates["nDCG@10"].n == 4
        assert result.answerability == {"vectors": 1.0}
        assert np.isnan(result.rows[0].values.loc["u0", "nDCG@10"])
        fewer = run(make(tmp_path / "b", items, {**near, "u0": far["u0"]}, rows[:5]), bm25=False)
        assert fewer.answerability == {}
        rows = [*rows[:4], *(f"u{n} c:7 0" for n in range(5))]  # what stands first was not judged
        assert run(make(tmp_path / "c", items, {**near, **far}, rows), bm25=False).answerability == {}


class TestIndexes:
    def test_the_same_table(self, shelf: Made, fake: Fake) -> None:
        fake("bad", by_length)
        found = {}
        for index in ("memory", "exact", "edge"):
            if index == "edge":
                pytest.importorskip("qdrant_edge")
            result = run(shelf, index=index, rerankers=("bad",), depths=(4, 9))
            assert result.sides[0].index.name == index
            found[index] = result
        one, *others = found.values()
        for other in others:
            for row, same in zip(one.rows, other.rows, strict=True):
                assert row.values.equals(same.values)
                assert row.estimates == same.estimates
                assert row.comparisons == same.comparisons
            assert one.frontiers == other.frontiers
            assert one.unjudged == other.unjudged

    def test_a_graph_is_held_against_exact_search(self, shelf: Made) -> None:
        pytest.importorskip("qdrant_edge")
        result = run(shelf, hnsw=True, **both(shelf))
        for side in result.sides:
            assert (side.index.name, side.index.exact) == ("edge", False)
            assert side.ann_recall(10) > 0.5
        lost = sum(found.shares["index"] for found in result.waterfalls.values())
        assert (lost == 0) == all(side.ann_recall(100) == 1 for side in result.sides)

    @pytest.mark.parametrize("options", [{"index": "edge"}, {"hnsw": True}])
    def test_what_is_not_installed_is_said_before_anything_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
    ) -> None:
        monkeypatch.setattr("qembed.index.choose._edge_is_installed", lambda: False)
        with pytest.raises(UsageError, match="qdrant-edge-py"):
            bench(tmp_path / "none", tmp_path / "none", BenchOptions(**options))

    def test_the_same_command_gives_the_same_numbers(self, shelf: Made) -> None:
        one, other = run(shelf), run(shelf)
        assert [row.estimates for row in one.rows] == [row.estimates for row in other.rows]
        assert [row.comparisons for row in one.rows] == [row.comparisons for row in other.rows]
        again = run(shelf, seed=5)
        assert again.rows[0].estimates == one.rows[0].estimates
        assert [row.comparisons["nDCG@10"].verdict for row in again.rows[1:]] == [
            row.comparisons["nDCG@10"].verdict for row in one.rows[1:]
        ]


class TestLatency:
    def test_stages_of_each_system(self, shelf: Made, fake: Fake) -> None:
        good = fake("good", oracle)
        result = run(shelf, rerankers=("good",), depths=(2, 6), latency_queries=3)
        assert [list(row.stages) for row in result.rows] == [
            ["retrieve"],
            ["retrieve"],
            ["retrieve", "bm25"],
            ["retrieve", "rerank"],
        ]
        for row in result.rows:
            assert row.latency is not None
            assert row.latency.queries == 3
        assert {size for _, size in good.timed} == {2, 6}
        points = result.frontiers["vectors > good"].points
        assert points[0].milliseconds is None
        assert all(point.milliseconds is not None for point in points[1:])

    def test_none(self, shelf: Made, fake: Fake) -> None:
        good = fake("good", oracle)
        result = run(shelf, rerankers=("good",))
        assert good.timed == []
        assert all(row.latency is None and row.stages == {} for row in result.rows)


class TestGates:
    @pytest.mark.parametrize(
        ("gate", "system", "outcome", "passed"),
        [
            ("nDCG@10>=0.05", "vectors", "holds", True),
            ("nDCG@10>=0.99", "vectors", "fails", False),
            ("recall@20>=0.3", "vectors", "holds", True),
            ("fusion: MRR@10>=0.01", "vectors + bm25", "holds", True),
            ("good: MRR@10>=0.5", "vectors > good", "holds", True),
            ("vectors > good: nDCG@10 no worse than bm25", "vectors > good", "holds", True),
            ("nDCG@10 no worse than good", "vectors", "fails, not certain", False),
            ("nDCG@10 no worse than vectors", "vectors", "holds, not certain", True),
        ],
    )
    def test_held_against_the_system_that_is_named(
        self, shelf: Made, fake: Fake, gate: str, system: str, outcome: str, passed: bool
    ) -> None:
        fake("good", oracle)
        result = run(shelf, rerankers=("good",), gates=(gate,))
        (found,) = result.gates
        assert (found.system, found.result.outcome, found.result.passed) == (system, outcome, passed)
        assert result.passed is passed

    def test_what_the_queries_cannot_decide(self, shelf: Made) -> None:
        mean = run(shelf).rows[0].estimates["nDCG@10"].mean
        result = run(shelf, gates=(f"nDCG@10>={mean - 0.001:.4f}", f"nDCG@10>={mean + 0.001:.4f}"))
        assert [gated.result.outcome for gated in result.gates] == [
            "holds, not certain",
            "fails, not certain",
        ]
        assert not result.passed

    @pytest.mark.parametrize(
        "gate", ["baseline: nDCG@10>=0.1", "nDCG@10 no worse than baseline", "x: MAP>=0"]
    )
    def test_a_system_that_there_is_not_is_said_before_anything_is_read(
        self, tmp_path: Path, gate: str
    ) -> None:
        with pytest.raises(UsageError, match="there is no system") as caught:
            bench(tmp_path / "none", tmp_path / "none", BenchOptions(gates=(gate,), rerankers=("a/b",)))
        assert caught.value.remedy == "systems are: vectors, bm25, vectors + bm25, vectors > a/b"

    def test_retrieval_is_as_deep_as_its_cutoff(self, shelf: Made) -> None:
        assert run(shelf, depths=(5,), gates=("recall@300>=0.1",)).sides[0].results == 300
        assert run(shelf, depths=(5,), measures=("MAP", "recall@30")).sides[0].results == 100
        result = run(shelf, depths=(5,), measures=("nDCG@5",), gates=("recall@40>=0.999",))
        assert result.passed  # the whole collection


class TestFewData:
    """Defined values where statistics have little or nothing to say."""

    def test_one_query(self, tmp_path: Path, fake: Fake) -> None:
        fake("good", oracle)
        made = library(tmp_path, queries=1)
        result = run(made, rerankers=("good",), gates=("nDCG@10>=0.1", "nDCG@10 no worse than bm25"))
        estimate = result.rows[0].estimates["nDCG@10"]
        assert (estimate.n, math.isnan(estimate.low)) == (1, True)
        for row in result.rows[1:]:
            comparison = row.comparisons["nDCG@10"]
            assert (comparison.verdict, comparison.small) == ("cannot tell", True)
        assert [gated.result.outcome for gated in result.gates] == ["holds, not certain"] * 2
        assert "nan" not in " ".join(gated.result.words for gated in result.gates)
        assert result.frontiers["vectors > good"].chosen is None

    def test_a_collection_of_one_text(self, tmp_path: Path, fake: Fake) -> None:
        fake("flat", lambda query, text: 0.0)
        made = make(tmp_path, [Item("c:0", "...", [1, 0])], {"q": ("!", [0, 1])}, ["q c:0 1"])
        result = run(made, rerankers=("flat",))
        assert [row.estimates["nDCG@10"].mean for row in result.rows] == [1, 0, 1, 1]

    def test_some_judged_ids_are_unknown(self, shelf: Made) -> None:
        with (shelf.eval_set / "qrels" / "test.tsv").open("a") as file:
            file.write("q00\tc:gone\t2\n")
        result = run(shelf)
        (finding,) = [found for found in result.findings if found.kind == "unknown-item"]
        assert "'c:gone'" in finding.reason
        assert result.absent == (1,)
        losses = result.waterfalls["vectors"].losses
        assert {loss.stage for loss in losses if loss.unit == "c:gone"} == {"missed"}

    def test_a_measure_that_nothing_has_a_value_of(self, shelf: Made) -> None:
        result = run(shelf, measures=("nDCG@10", "recall(rel=3)@10"))
        assert result.rows[0].estimates["recall(rel=3)@10"].n == 0
        assert math.isnan(result.rows[0].estimates["recall(rel=3)@10"].mean)


def unjudged_grid(made: Made) -> None:
    (made.eval_set / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq00\tc:00\t0\n")


def empty_qrels(made: Made) -> None:
    (made.eval_set / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n")


def empty_queries(made: Made) -> None:
    (made.eval_set / "queries.jsonl").write_text("")


def no_folder(made: Made) -> None:
    made.eval_set.rename(made.eval_set.with_name("moved"))


def other_corpus(made: Made) -> None:
    rows = "".join(f"q{n:02d}\telse:{n}\t1\n" for n in range(20))
    (made.eval_set / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")


def relevant_gone(made: Made) -> None:
    rows = "q00\tc:00\t0\nq00\tc:gone\t1\n"
    (made.eval_set / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")


def other_level(made: Made) -> None:
    (made.eval_set / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq00\tdocs/p0.md\t1\n")


def pages_wanted(made: Made) -> None:
    (made.eval_set / "card.toml").write_text('name = "library"\nlevel = "page"\n')
    items, _ = library_items()
    write_embeddings(made.embeddings, [replace(item, page=None) for item in items])


def query_lost(made: Made) -> None:
    file = made.query_vectors / "c_embeddings.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))


def query_zero(made: Made) -> None:
    write_query_vectors(made.query_vectors, {name: [0.0] * 12 for name in query_vectors(made)})


def query_short(made: Made) -> None:
    short = {name: vector[:5] for name, vector in query_vectors(made).items()}
    write_query_vectors(made.query_vectors, short)


def no_vectors(made: Made) -> None:
    (made.embeddings / "c_embeddings.jsonl").unlink()


def text_missing(made: Made) -> None:
    items, _ = library_items()
    write_embeddings(made.embeddings, [replace(items[0], text=" ")])


def nothing(made: Made) -> None:
    pass


THERE = Path("the same")
NAN = lambda query, text: math.nan  # noqa: E731
INFINITE = lambda query, text: math.inf  # noqa: E731
GRID: list[tuple[Callable[[Made], None], dict[str, Any], type[QembedError], int, str, str, str]] = [
    (empty_qrels, {}, Mismatch, 5, "judges none of the queries", "test.tsv", "needs queries"),
    (empty_queries, {}, Mismatch, 5, "no query can be read", "queries.jsonl", "needs queries"),
    (no_folder, {}, InputNotFound, 2, "does not exist", "", "give the folder"),
    (unjudged_grid, {}, UsageError, 2, "every grade is 0", "set", "grades are 1 and above"),
    (other_corpus, {}, Mismatch, 5, "none of the 20 judged chunks", "test.tsv", "the corpus that was judged"),
    (relevant_gone, {}, Mismatch, 5, "none of the 1 relevant chunks", "c_embeddings.jsonl", "evalset check"),
    (other_level, {}, Mismatch, 5, 'write level = "page"', "test.tsv", ""),
    (pages_wanted, {}, UsageError, 2, "has no page", "c_embeddings.jsonl", "subdirectory and filename"),
    (nothing, {"split": "dev"}, UsageError, 2, "no split 'dev'", "qrels", "--split test"),
    (nothing, {"rerankers": ("nan",)}, Mismatch, 5, "nan gives 'c:", "", "--precision fp32"),
    (nothing, {"rerankers": ("inf",)}, Mismatch, 5, "the score inf for the query 'q", "", "another reranker"),
    (nothing, {"measures": ("nDGC@10",)}, UsageError, 2, "no measure 'nDGC@10'", "", "nDCG@10"),
    (nothing, {"measures": ("recall",)}, UsageError, 2, "needs a cutoff", "", "recall@10"),
    (nothing, {"measures": ("judged@10", "nDCG@10")}, UsageError, 2, "judged@k cannot", "", "--measure nDCG"),
    (nothing, {"measures": ("MRR(rel=3)",)}, UsageError, 2, "no item has a grade of 3", "set", "lower rel="),
    (nothing, {"gates": ("nDCG@10=0.4",)}, UsageError, 2, "cannot be read", "", "nDCG@10>=0.45"),
    (nothing, {"margin": -0.1}, UsageError, 2, "margin", "", "defaults"),
    (nothing, {"margin": math.nan}, UsageError, 2, "margin", "", "defaults"),
    (nothing, {"resamples": 5}, UsageError, 2, "resamples", "", "defaults"),
    (nothing, {"latency_queries": -1}, UsageError, 2, "timed queries", "", "defaults"),
    (nothing, {"depths": ()}, UsageError, 2, "rerank depths", "", "--depth"),
    (nothing, {"depths": (10, 0)}, UsageError, 2, "rerank depths", "", "--depth"),
    (nothing, {"index": "faiss"}, UsageError, 2, "no index 'faiss'", "", "memory"),
    (nothing, {"index": "exact", "hnsw": True}, UsageError, 2, "exact has no graph", "", "--index edge"),
    (nothing, {"baseline_model": "minilm"}, UsageError, 2, "no baseline", "", "--baseline"),
    (nothing, {"baseline": Path("absent")}, InputNotFound, 2, "absent", "", ""),
    (nothing, {"baseline": THERE}, UsageError, 2, "no manifest", "manifest", "--baseline-model"),
    (nothing, {"query_vectors": None}, UsageError, 2, "no manifest", "manifest", "--model"),
    (no_vectors, {}, InputNotFound, 2, "no embeddings", "", ""),
    (text_missing, {}, Mismatch, 5, "has no text", "line 1", "audit"),
    (query_lost, {}, Mismatch, 5, "1 of 20 queries have no vector, 'q00'", "queries", "omit the file"),
    (query_zero, {}, Mismatch, 5, "the query 'q00' is zero", "line 1", "encode the query again"),
    (query_short, {}, DimensionMismatch, 5, "5 dimensions, the chunks have 12", "line 1", "one model"),
]


@pytest.mark.parametrize(
    ("spoil", "options", "error", "code", "message", "where", "remedy"),
    GRID,
    ids=[f"{case[0].__name__}-{case[4]}" for case in GRID],
)
def test_bad_input(
    shelf: Made,
    fake: Fake,
    spoil: Callable[[Made], None],
    options: dict[str, Any],
    error: type[QembedError],
    code: int,
    message: str,
    where: str,
    remedy: str,
) -> None:
    """The error, its exit code, what is wrong, where, and what to do."""
    fake("nan", NAN)
    fake("inf", INFINITE)
    spoil(shelf)
    if options.get("baseline") == THERE:
        options = {**options, "baseline": shelf.embeddings}
    with pytest.raises(error) as caught:
        run(shelf, **options)
    assert type(caught.value) is error
    assert caught.value.exit_code == code
    assert message in caught.value.message
    assert where in (caught.value.where or "")
    assert remedy in (caught.value.remedy or "")


def test_a_model_of_another_dimension(shelf: Made, tiny: Path) -> None:
    with pytest.raises(DimensionMismatch, match=r"12 dimensions.* gives 32") as caught:
        run(shelf, query_vectors=None, model=str(tiny), encoder=CPU)
    assert "--model" in str(caught.value.remedy)


def test_a_reranker_that_cannot_be_had_is_said_before_vectors_are_read(
    shelf: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "qembed.evaluation.systems.judged.open_side", lambda *_, **__: pytest.fail("too late")
    )
    with pytest.raises(ModelUnreachable) as caught:
        run(shelf, rerankers=(DEFAULT_RERANKER,))
    assert caught.value.exit_code == 4
    assert "--reranker maxsim:minilm" in str(caught.value.remedy)


def test_the_bundled_model_reranks_itself(
    tmp_path: Path, write_chunks: Callable[..., Path], minilm: Path
) -> None:
    """End to end, as the quickstart does it: chunks, real vectors, MaxSim of the same model."""
    texts = [
        "Delete all points that match a payload filter.",
        "Warm the teapot before the leaves go in.",
        "An upsert inserts a point or replaces the one that has its id.",
        "Snapshots are archives of a collection for backups.",
        "Quantisation stores vectors with fewer bits to save memory.",
        "The moon raises the tides of the sea.",
    ]
    chunks = write_chunks(tmp_path / "eco", {"docs/a": texts[:3], "docs/b": texts[3:]})
    embed(chunks, tmp_path / "out", EmbedOptions(model="minilm", encoder=CPU))
    asked = {
        "q1": "how do I remove vectors by condition",
        "q2": "overwrite an existing record",
        "q3": "how to back up my data",
        "q4": "reduce RAM usage",
    }
    items = ("a.md:chunk:0", "a.md:chunk:2", "b.md:chunk:0", "b.md:chunk:1")
    rows = [f"q{number} eco:docs:{item} 1" for number, item in enumerate(items, start=1)]
    folder = eval_folder(tmp_path / "set", asked, {"test": rows})
    options = BenchOptions(
        rerankers=("maxsim:minilm",), depths=(2, 100), latency_queries=2, resamples=200, encoder=CPU
    )
    result = bench(tmp_path / "out", folder, options)
    assert [row.system.name for row in result.rows][-1] == "vectors > maxsim:minilm"
    assert result.rows[0].estimates["MRR@10"].mean == 1
    assert result.rows[-1].estimates["MRR@10"].mean > 0.8
    assert result.rows[1].estimates["MRR@10"].mean < 0.5  # hardly a word in common
    assert result.rows[-1].system.info["kind"] == "maxsim"
    assert result.rows[-1].system.info["weights_sha256"]
    assert set(result.rows[-1].stages) == {"encode", "retrieve", "rerank"}
    assert result.ceilings[6] == 1


class TestQueriesThatAreDocuments:
    """As in ArguAna and Quora: a query's own document is left out, as BEIR does it, and that is said."""

    def collection(self, folder: Path, *more: str) -> Made:
        near = [[*np.eye(8)[n // 2].tolist(), n % 2 / 10] for n in range(16)]
        items = [Item(f"{n}", f"Title {n // 2}. question {n}", near[n]) for n in range(16)]
        queries = {f"{n}": (f"question {n}", near[n]) for n in range(0, 16, 2)}
        return make(folder, items, queries, [*(f"{n} {n + 1} 1" for n in range(0, 16, 2)), *more])

    def test_no_run_holds_the_query_itself(self, tmp_path: Path) -> None:
        made = self.collection(tmp_path)
        result = run(made, rerankers=(), baseline=made.embeddings, baseline_query_vectors=made.query_vectors)
        assert [len(side.own) for side in result.sides] == [8, 8]
        for row in result.rows:
            assert all(query not in scores for query, scores in row.system.run.items()), row.system.name
        assert max(len(scores) for scores in result.rows[0].system.run.values()) == 15
        assert result.rows[0].estimates["nDCG@10"].mean == 1

    def test_an_own_document_that_is_judged_relevant_stays(self, tmp_path: Path) -> None:
        result = run(self.collection(tmp_path, "0 0 2"))
        assert set(result.sides[0].own) == {f"{n}" for n in range(2, 16, 2)}
        assert "0" in result.rows[0].system.run["0"]

    def test_the_same_id_of_another_text_means_nothing(self, tmp_path: Path) -> None:
        items = [Item(f"{n}", f"chunk {n}", [1.0, n]) for n in range(8)]
        made = make(tmp_path, items, {"3": ("another question", [1.0, 3.0])}, ["3 4 1"])
        assert run(made).sides[0].own == {}
