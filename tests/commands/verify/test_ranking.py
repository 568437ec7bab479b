"""``verify`` with an eval set: whether drift changes the order of what judged queries find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_files import write_embeddings, write_eval_set

from qembed.commands.verify.ranking import Ranking, RankingOptions
from qembed.commands.verify.verify import verify
from qembed.errors import InputNotFound, Mismatch, QembedError, UsageError
from qembed.evaluation.measures import evaluate
from qembed.models import Encoder, EncoderOptions
from qembed.progress import Progress
from qembed.records import Run, Vectors

FP32 = EncoderOptions(device="cpu", precision="fp32")
WORDS = ("vector", "search", "point", "index", "query", "filter", "model", "chunk")
TEXTS = {f"docs:{n:03d}": f"{WORDS[n % 8]} {WORDS[n // 8]} {n}" for n in range(48)}
QUERIES = {f"q{n:02d}": f"{WORDS[n % 8]} {WORDS[(3 * n + n // 8) % 8]}" for n in range(12)}
NAMES = list(TEXTS)


@pytest.fixture(scope="module")
def encoder(tiny_models: Callable[[str], Path]) -> Encoder:
    return Encoder.load(str(tiny_models("prompted")), FP32)


@pytest.fixture(scope="module")
def vectors(encoder: Encoder) -> Vectors:
    """One by one, as the reference does it."""
    return np.concatenate([encoder.encode([text]) for text in TEXTS.values()])


@pytest.fixture(scope="module")
def asked(encoder: Encoder) -> Vectors:
    return np.concatenate([encoder.encode([text], "query") for text in QUERIES.values()])


@pytest.fixture(scope="module")
def qrels(vectors: Vectors, asked: Vectors) -> dict[str, dict[str, int]]:
    """What the reference finds first and third; nothing answers the last query."""
    order = np.argsort(-(asked @ vectors.T), axis=1)
    found = {query: {NAMES[row[0]]: 2, NAMES[row[2]]: 1} for query, row in zip(QUERIES, order, strict=True)}
    found["q11"] = dict.fromkeys(found["q11"], 0)
    return found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, qrels: dict[str, dict[str, int]]) -> Path:
    return write_eval_set(tmp_path_factory.mktemp("sets") / "words", QUERIES, qrels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, vectors: Vectors) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("sound"), TEXTS, vectors, encoder.info)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, vectors: Vectors) -> Path:
    """Vectors that have little to do with their texts."""
    noise = np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32)
    wrong = vectors / 10 + noise
    wrong /= np.linalg.norm(wrong, axis=1, keepdims=True)
    return write_embeddings(tmp_path_factory.mktemp("noisy"), TEXTS, wrong, encoder.info)


def rank(folder: Path, judged: Path, *, sample: int = 5, **more: Any) -> Ranking:
    ranking = RankingOptions(judged, **{"resamples": 500, **more})
    report = verify(folder, sample=sample, options=EncoderOptions(device="cpu"), ranking=ranking)
    assert report.ranking is not None
    return report.ranking


class TestSound:
    def test_nothing_has_changed(self, folder: Path, judged: Path) -> None:
        found = rank(folder, judged)
        assert (found.eval_set, found.measure, found.k, found.level) == ("words", "nDCG@10", 10, "chunk")
        assert (found.queries, found.answerable) == (12, 11)
        assert (found.same, found.reordered, found.replaced, found.changed) == (12, 0, 0, ())
        assert (found.comparison.verdict, found.comparison.difference) == ("cannot tell", 0)
        assert found.words == (
            "cannot tell: 0.000 nDCG@10 (-0.238 to 0.238), p = 1, 11 queries only; "
            "about 300 queries would be needed"
        )
        assert found.largest_drift < 1e-6
        assert found.stored == found.reference

    def test_the_whole_report_holds(self, folder: Path, judged: Path) -> None:
        report = verify(
            folder, options=EncoderOptions(device="cpu"), ranking=RankingOptions(judged, resamples=500)
        )
        assert report.holds
        assert verify(folder, options=EncoderOptions(device="cpu")).ranking is None

    def test_queries_in_the_precision_of_the_vectors(
        self,
        tmp_path: Path,
        judged: Path,
        tiny_models: Callable[[str], Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("qembed.models.device.cpu_has_bf16", lambda: True)
        made = Encoder.load(str(tiny_models("prompted")), replace(FP32, precision="bf16"))
        folder = write_embeddings(tmp_path, TEXTS, made.encode(list(TEXTS.values())), made.info)
        found = rank(folder, judged)
        assert found.query_dtype == "bf16"
        assert 1e-5 < found.largest_drift < 0.1
        assert found.same + found.reordered + found.replaced == 12
        assert rank(folder, judged, query_precision="fp32").query_dtype == "fp32"

    def test_a_precision_that_does_not_run_here(
        self,
        tmp_path: Path,
        judged: Path,
        encoder: Encoder,
        vectors: Vectors,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("qembed.models.device.cpu_has_bf16", lambda: False)
        folder = write_embeddings(tmp_path, TEXTS, vectors, encoder.info, dtype="bf16")
        with pytest.raises(UsageError, match="made in bf16, which does not run here") as caught:
            rank(folder, judged)
        assert "--query-precision fp32" in str(caught.value.remedy)
        assert rank(folder, judged, query_precision="fp32").same == 12

    def test_without_a_manifest(
        self, tmp_path: Path, judged: Path, vectors: Vectors, tiny_models: Callable[[str], Path]
    ) -> None:
        folder = write_embeddings(tmp_path, TEXTS, vectors)
        report = verify(
            folder,
            model=str(tiny_models("prompted")),
            options=EncoderOptions(device="cpu"),
            ranking=RankingOptions(judged, resamples=500, query_precision="fp32"),
        )
        assert report.ranking is not None
        assert report.ranking.same == 12


class TestWork:
    def test_each_text_once_and_alone(
        self, folder: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passes: list[tuple[int, str, str]] = []
        encode = Encoder.encode

        def spy(self: Encoder, texts: Sequence[str], role: Any = "document") -> Vectors:
            passes.append((len(texts), role, texts[0]))
            return encode(self, texts, role)

        monkeypatch.setattr(Encoder, "encode", spy)
        found = rank(folder, judged, sample=48, candidates=11)
        again = [one for one in passes if one[2] in set(TEXTS.values())]
        assert len(again) == len(set(again)) == 48  # the sample has them all; no candidate comes on top
        assert {size for size, *_ in again} == {1}
        assert found.texts < 48
        asked = set(QUERIES.values())  # loading a model encodes texts of its own
        alone = [text for size, role, text in passes if role == "query" and size == 1 and text in asked]
        assert alone == list(QUERIES.values())

    def test_the_count_of_texts(self, folder: Path, judged: Path) -> None:
        found = rank(folder, judged, candidates=11)
        assert found.candidates == 11
        assert 11 <= found.texts < 48
        assert rank(folder, judged).texts == 48
        assert rank(folder, judged).candidates == 48  # there are no more

    def test_progress_counts_the_texts(self, folder: Path, judged: Path) -> None:
        phases: dict[str, int | None] = {}

        class Spy(Progress):
            def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
                phases[name] = total

        report = verify(
            folder,
            sample=3,
            options=EncoderOptions(device="cpu"),
            ranking=RankingOptions(judged, candidates=11, resamples=500),
            progress=Spy(),
        )
        assert report.ranking is not None
        assert phases["embedding the candidates again"] == report.ranking.texts
        assert phases["embedding the queries again"] == 12


class TestDamage:
    def test_worse(self, noisy: Path, judged: Path) -> None:
        report = verify(
            noisy,
            options=EncoderOptions(device="cpu"),
            min_cosine=-1,
            ranking=RankingOptions(judged, resamples=500),
        )
        found = report.ranking
        assert found is not None
        assert found.comparison.verdict == "worse"
        best = 2 + 1 / np.log2(3)  # the reference ranks grade 2 first, grade 1 third
        assert found.reference.mean == pytest.approx((2 + 1 / 2) / best)
        assert found.replaced > 6
        assert not report.holds
        assert report.problems == (f"the ranking is {found.words}",)
        losses = [one.reference - one.stored for one in found.changed]
        assert len(losses) == 5
        assert losses == sorted(losses, reverse=True)
        assert found.changed[0].text == QUERIES[found.changed[0].query_id]

    def test_all_candidates_are_the_reference_s_own_search(
        self, noisy: Path, judged: Path, vectors: Vectors, asked: Vectors, qrels: dict[str, dict[str, int]]
    ) -> None:
        """With every text among the candidates, the reference's mean is that of its own exact search."""
        found = rank(noisy, judged, measure="MRR@5")
        cosines = asked.astype(np.float64) @ vectors.T.astype(np.float64)
        run: Run = {
            query: dict(zip(NAMES, row, strict=True))
            for query, row in zip(QUERIES, cosines.tolist(), strict=True)
        }
        assert found.reference.mean == pytest.approx(evaluate(qrels, run, ["MRR@5"])["MRR@5"].mean())
        assert found.open == 0

    def test_what_is_outside_of_the_candidates_cannot_come_in(self, noisy: Path, judged: Path) -> None:
        few, all_of_them = rank(noisy, judged, candidates=11), rank(noisy, judged)
        assert few.reference.mean < all_of_them.reference.mean
        assert few.open == 12

    def test_order_and_membership(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        """Two vectors of the first three have changed places: the same ten, in another order."""
        query = {"q": "vector search"}
        asked = encoder.encode(["vector search"], "query")[0]
        order = np.argsort(-(vectors @ asked)).tolist()
        mixed = vectors.copy()
        mixed[order[0]], mixed[order[2]] = vectors[order[2]], vectors[order[0]]
        judged = write_eval_set(tmp_path / "set", query, {"q": {NAMES[order[0]]: 1}})
        found = rank(write_embeddings(tmp_path / "one", TEXTS, mixed, encoder.info), judged)
        assert (found.same, found.reordered, found.replaced) == (0, 1, 0)
        assert found.comparison.verdict == "cannot tell"
        (changed,) = found.changed
        assert (changed.stored, changed.reference) == (0.5, 1)
        mixed[order[0]], mixed[order[12]] = vectors[order[12]], vectors[order[0]]
        found = rank(write_embeddings(tmp_path / "two", TEXTS, mixed, encoder.info), judged)
        assert (found.same, found.reordered, found.replaced) == (0, 0, 1)

    def test_cannot_tell_is_no_failure(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        asked = encoder.encode(["vector search"], "query")[0]
        order = np.argsort(-(vectors @ asked)).tolist()
        mixed = vectors.copy()
        mixed[order[0]], mixed[order[2]] = vectors[order[2]], vectors[order[0]]
        judged = write_eval_set(tmp_path / "set", {"q": "vector search"}, {"q": {NAMES[order[0]]: 1}})
        report = verify(
            write_embeddings(tmp_path / "one", TEXTS, mixed, encoder.info),
            min_cosine=-1,
            options=EncoderOptions(device="cpu"),
            ranking=RankingOptions(judged, resamples=500),
        )
        assert report.holds
        assert report.ranking is not None
        assert report.ranking.comparison.small

    def test_pages(self, noisy: Path, qrels: dict[str, dict[str, int]], judged: Path, tmp_path: Path) -> None:
        pages = {
            query: {f"pages/{name.rpartition(':')[2]}": grade for name, grade in grades.items()}
            for query, grades in qrels.items()
        }
        found = rank(noisy, write_eval_set(tmp_path / "pages", QUERIES, pages, level="page"))
        other = rank(noisy, judged)
        assert found.level == "page"
        assert (found.comparison, found.replaced) == (other.comparison, other.replaced)


class TestRefusals:
    def test_before_anything_is_loaded(
        self, folder: Path, tmp_path: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "qembed.commands.verify.verify.read_contents", lambda *_, **__: pytest.fail("read")
        )
        monkeypatch.setattr(Encoder, "load", lambda *_: pytest.fail("loaded"))
        with pytest.raises(InputNotFound):
            rank(folder, tmp_path / "no")
        for wrong in ({"measure": "judged@5"}, {"margin": -1}, {"resamples": 5}, {"seed": -1}):
            with pytest.raises(UsageError):
                rank(folder, judged, **wrong)

    @pytest.mark.parametrize(
        ("candidates", "measure", "least"), [(10, "nDCG@10", 11), (50, "recall@100", 101), (3, "MAP", 11)]
    )
    def test_too_few_candidates(
        self, folder: Path, judged: Path, candidates: int, measure: str, least: int
    ) -> None:
        with pytest.raises(UsageError, match="too few") as caught:
            rank(folder, judged, candidates=candidates, measure=measure)
        assert f"--candidates {least} " in str(caught.value.remedy)

    def test_an_eval_set_of_other_chunks(self, folder: Path, tmp_path: Path) -> None:
        others = write_eval_set(tmp_path / "set", QUERIES, {query: {"other:1": 1} for query in QUERIES})
        with pytest.raises(Mismatch, match="is in the corpus"):
            rank(folder, others)

    def test_a_reference_that_is_not_finite_names_the_query(
        self, folder: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encode = Encoder.encode

        def broken(self: Encoder, texts: Sequence[str], role: Any = "document") -> Vectors:
            vectors = encode(self, texts, role)
            return vectors * np.nan if role == "query" and list(texts) == [QUERIES["q03"]] else vectors

        monkeypatch.setattr(Encoder, "encode", broken)
        with pytest.raises(QembedError, match="no usable vector for 'q03'") as caught:
            rank(folder, judged)
        assert str(caught.value.where).endswith("queries.jsonl")
