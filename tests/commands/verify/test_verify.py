"""``verify``: what it measures, of which sample, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_models import edit_json

from qembed.commands.verify import reference
from qembed.commands.verify import sample as verify_sample
from qembed.commands.verify.compare import cosines_of, drift_of, neighbours, same_neighbours
from qembed.commands.verify.sample import DistinctVectors, Sampler, read_contents
from qembed.commands.verify.verify import THRESHOLDS, VerifyReport, verify
from qembed.engine.planning.presets import find_device
from qembed.errors import (
    DimensionMismatch,
    InputNotFound,
    Mismatch,
    ModelUnreachable,
    QembedError,
    UsageError,
)
from qembed.models import Encoder, EncoderOptions, resolve_model
from qembed.progress import Progress
from qembed.records import Vectors
from qembed.store import (
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    Record,
    find_embeddings,
    record_line,
    write_json,
)

FP32 = EncoderOptions(device="cpu", precision="fp32")
WORDS = ("vector", "search", "point", "index", "query", "filter", "model", "chunk")
TEXTS = [f"{WORDS[n % 8]} {WORDS[n // 8]} {n}" for n in range(48)]


def write(
    folder: Path,
    vectors: Sequence[Any] | Vectors,
    texts: Sequence[str | None] = TEXTS,
    *,
    encoder: Encoder | None = None,
    options: EncoderOptions = FP32,
    **model: Any,
) -> Path:
    """Embeddings, with a manifest where ``encoder`` made them; ``model`` changes what that says."""
    folder.mkdir(parents=True, exist_ok=True)
    files = OutputFiles.of(folder / "docs_embeddings.jsonl")
    lines = [
        record_line(f"docs:{n:03d}", text or "", np.asarray(vector, dtype=np.float32), {})
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=False))
    ]
    files.embeddings.write_bytes(b"".join(lines))
    if encoder is not None:
        dimension = encoder.info.dimension
        output = Output(files.embeddings.name, 0, "", "", len(lines), dimension)
        made = {**asdict(encoder.info), **model}
        settings = {"max_length": options.max_length}
        now = "2026-01-01T00:00:00+00:00"
        write_json(files.manifest, Manifest("docs", now, Inputs("", "", 0, 0), output, settings, made, {}))
    return folder


@pytest.fixture(scope="module")
def encoder(tiny_models: Callable[[str], Path]) -> Encoder:
    return Encoder.load(str(tiny_models("prompted")), FP32)


@pytest.fixture(scope="module")
def vectors(encoder: Encoder) -> Vectors:
    """Of ``TEXTS``, in one batch."""
    return encoder.encode(TEXTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, vectors: Vectors) -> Path:
    return write(tmp_path_factory.mktemp("verify"), vectors, encoder=encoder)


def check(folder: Path, **more: Any) -> VerifyReport:
    return verify(folder, **{"options": EncoderOptions(device="cpu"), **more})


class TestSound:
    def test_what_the_model_gives_holds(self, folder: Path, encoder: Encoder) -> None:
        report = check(folder)
        assert report.holds
        assert report.problems == ()
        assert (report.records, report.sample, report.dimension, report.dtype) == (48, 48, 32, "fp32")
        assert report.drift.min > 0.999999
        assert report.drift.max_difference < 1e-5
        assert report.overlap is not None
        assert (report.overlap.k, report.overlap.among, report.overlap.vectors) == (10, "file", 48)
        assert report.overlap.mean > 0.99
        assert report.reference == encoder.info  # with the document prompt, in fp32
        assert (report.min_cosine, report.why_min_cosine) == THRESHOLDS["fp32"]

    def test_vectors_made_one_by_one_are_equal_bit_for_bit(self, tmp_path: Path, encoder: Encoder) -> None:
        alone = [encoder.encode([text])[0] for text in TEXTS]
        report = check(write(tmp_path, alone, encoder=encoder))
        assert (report.drift.identical, report.drift.max_difference) == (48, 0)
        assert (report.drift.mean, report.drift.min) == pytest.approx((1, 1), abs=1e-12)
        assert report.overlap is not None
        assert (report.overlap.mean, report.overlap.min, report.overlap.changed) == (1, 1, 0)

    @pytest.mark.parametrize(
        "options",
        [
            replace(FP32, truncate_dim=8),
            replace(FP32, max_length=6),
            replace(FP32, normalize=False),
            replace(FP32, document_prompt="other: "),
        ],
        ids=["truncate-dim", "max-length", "not-normalised", "prompt"],
    )
    def test_as_the_vectors_were_made(
        self, tmp_path: Path, tiny_models: Callable[[str], Path], folder: Path, options: EncoderOptions
    ) -> None:
        made = Encoder.load(str(tiny_models("prompted")), options)
        report = check(write(tmp_path, made.encode(TEXTS), encoder=made, options=options))
        assert report.holds
        assert report.drift.max_difference < 1e-5
        assert replace(report.reference, query_prompt="") == replace(made.info, query_prompt="")

    def test_bf16_drifts_and_holds(self, tmp_path: Path, tiny_models: Callable[[str], Path]) -> None:
        made = Encoder.load(str(tiny_models("prompted")), replace(FP32, precision="bf16"))
        report = check(write(tmp_path, made.encode(TEXTS), encoder=made))
        assert report.reference.dtype == "fp32"
        assert report.drift.identical == 0
        assert THRESHOLDS["bf16"][0] < report.drift.min < THRESHOLDS["fp32"][0]
        assert report.holds
        assert not check(tmp_path, min_cosine=THRESHOLDS["fp32"][0]).holds

    def test_one_text_a_forward_pass(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        encode = Encoder.encode

        def spy(self: Encoder, texts: Sequence[str], *role: Any) -> Vectors:
            sizes.append(len(texts))
            return encode(self, texts, *role)

        monkeypatch.setattr(Encoder, "encode", spy)
        check(folder, sample=7)
        assert sizes[-7:] == [1] * 7

    def test_a_reference_of_another_precision(self, folder: Path) -> None:
        report = check(folder, options=EncoderOptions(device="cpu", precision="bf16"))
        assert report.reference.dtype == "bf16"


class TestDamage:
    def test_two_vectors_that_changed_places(
        self, tmp_path: Path, encoder: Encoder, vectors: Vectors
    ) -> None:
        mixed = vectors.copy()
        mixed[[3, 30]] = mixed[[30, 3]]
        report = check(write(tmp_path, mixed, encoder=encoder))
        assert not report.holds
        assert report.problems == ("2 of 48 sampled vectors have a cosine below 0.99999",)
        assert {chunk.id for chunk in report.worst[:2]} == {"docs:003", "docs:030"}
        cosine = float(vectors[3] @ vectors[30])
        assert report.worst[0].cosine == pytest.approx(cosine, abs=1e-5)
        assert report.drift.min == report.worst[0].cosine
        assert report.worst[0].place.endswith(("line 4", "line 31"))
        assert report.worst[0].overlap is not None
        assert report.worst[0].overlap < 1
        assert report.worst[2].cosine > 0.99999
        assert [chunk.cosine for chunk in report.worst] == sorted(chunk.cosine for chunk in report.worst)

    def test_the_threshold_is_the_users(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        report = check(write(tmp_path, -vectors, encoder=encoder), min_cosine=-1.0)
        assert report.drift.mean == pytest.approx(-1)
        assert (report.holds, report.min_cosine, report.why_min_cosine) == (True, -1.0, "as asked")

    def test_unusable_vectors_anywhere_in_the_file(
        self, tmp_path: Path, encoder: Encoder, vectors: Vectors
    ) -> None:
        broken = vectors.copy()
        broken[0], broken[1, 5], broken[2, 0] = 0, np.nan, np.inf
        report = check(write(tmp_path, broken, encoder=encoder), sample=5)
        assert report.problems == ("2 of 48 vectors hold NaN or Inf", "1 of 48 vectors are zero")
        assert (report.non_finite, report.zero, report.overlap and report.overlap.vectors) == (2, 1, 45)

    def test_longer_vectors_point_the_same_way(
        self, tmp_path: Path, encoder: Encoder, vectors: Vectors
    ) -> None:
        report = check(write(tmp_path, 3 * vectors, encoder=encoder))
        assert report.drift.min == pytest.approx(1)
        assert report.drift.max_difference > 0.1


class TestSample:
    def test_the_seed_decides(self, folder: Path) -> None:
        def ids(seed: int) -> list[str]:
            seen = read_contents(find_embeddings(folder), size=10, seed=seed, progress=Progress())
            return [one.id for one in seen.sample]

        assert ids(1) == ids(1) == sorted(ids(1))
        assert len({*ids(1), *ids(2), *ids(3)}) > 15

    def test_copies_count_once(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        texts, rows = [TEXTS[0]] * 40 + TEXTS, [vectors[0]] * 40 + [*vectors]
        report = check(write(tmp_path, rows, texts, encoder=encoder), sample=48)
        assert (report.records, report.sample) == (88, 48)
        assert report.overlap is not None
        assert report.overlap.vectors == 48

    def test_records_without_text(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        texts = [None, " \n", *TEXTS[2:]]
        report = check(write(tmp_path, vectors, texts, encoder=encoder))
        assert (report.without_text, report.sample, report.holds) == (2, 46, True)

    @given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 12), st.randoms(use_true_random=False))
    def test_neither_order_nor_copies_change_it(self, stream: list[int], size: int, random: Any) -> None:
        def sample(numbers: list[int]) -> list[str]:
            sampler = Sampler(size, seed=3)
            for number in numbers:
                record = Record(1, f"c{number:02d}", None, np.ones(2, dtype=np.float32), {})
                sampler.offer(record, f"text {number}", "")
            return [one.id for one in sampler.sample()]

        once = sorted(set(stream))
        mixed = stream + stream
        random.shuffle(mixed)
        assert sample(mixed) == sample(once)
        assert len(sample(once)) == min(size, len(once))

    def test_every_text_has_the_same_chance(self) -> None:
        """10 of 100 in each of 400 draws: 40 +- 6 each; 6 standard deviations are allowed."""
        drawn = np.zeros(100)
        for seed in range(400):
            sampler = Sampler(10, seed)
            for n in range(100):
                sampler.offer(Record(1, n, None, np.ones(1, dtype=np.float32), {}), f"text {n}", "")
            drawn[[int(one.id) for one in sampler.sample()]] += 1
        assert drawn.sum() == 4000
        assert drawn.min() > 4
        assert drawn.max() < 76


class TestNeighbours:
    @given(
        hnp.arrays(np.float32, (7, 3), elements=st.floats(-1, 1, width=32).map(lambda x: round(x, 2) + 2)),
        st.integers(1, 5),
        st.integers(1, 7),
    )
    def test_as_sorting_everything(self, rows: Vectors, k: int, block: int) -> None:
        rows = np.unique(rows, axis=0)
        k = min(k, len(rows) - 1)
        if k < 1:
            return
        blocks = [rows[start : start + block] for start in range(0, len(rows), block)]
        found = neighbours(rows, rows, blocks, k)
        unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        for query, nearest in enumerate(found):
            assert query not in nearest
            assert len(set(nearest.tolist())) == k
            scores = unit @ unit[query]
            others = np.delete(scores, query)
            assert scores[nearest] == pytest.approx(np.sort(others)[::-1][:k], abs=1e-6)

    def test_by_hand(self) -> None:
        """Three at 0, 10 and 80 degrees; seen from 50 degrees instead of 0, the last is the nearest."""
        degrees = np.radians([0, 10, 80])
        ranked = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
        turned = np.array([[np.cos(np.radians(50)), np.sin(np.radians(50))]], dtype=np.float32)
        shares, overlap = same_neighbours(ranked[:1], turned, [ranked], 1, "file")
        assert shares is not None
        assert overlap is not None
        assert (shares.tolist(), overlap.mean, overlap.min, overlap.changed) == ([0.0], 0, 0, 1)
        shares, overlap = same_neighbours(ranked[:1], turned, [ranked], 10, "file")
        assert overlap is not None
        assert (overlap.k, overlap.mean, overlap.changed) == (2, 1, 0)  # both others, in any order

    def test_the_worst_text_is_not_the_mean(self) -> None:
        """At 0, 10, 80 and 90 degrees; only the first text is turned, and finds another neighbour."""
        degrees = np.radians([0, 10, 80, 90])
        ranked = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
        reference = ranked.copy()
        reference[0] = np.cos(np.radians(70)), np.sin(np.radians(70))
        _, overlap = same_neighbours(ranked, reference, [ranked], 1, "file")
        assert overlap is not None
        assert (overlap.mean, overlap.min, overlap.changed) == (0.75, 0, 1)

    def test_a_single_vector_has_none(self) -> None:
        one = np.ones((1, 2), dtype=np.float32)
        assert same_neighbours(one, one, [one], 10, "file") == (None, None)

    def test_cosines(self) -> None:
        stored = np.array([[3, 4], [1, 0], [1, 0]], dtype=np.float32)
        reference = np.array([[6, 8], [0, 2], [-1, 0]], dtype=np.float32)
        assert cosines_of(stored, reference).tolist() == [1, 0, -1]

    def test_drift_by_hand(self) -> None:
        stored = np.array([[1, 0], [0, 1], [3, 4]], dtype=np.float32)
        reference = np.array([[1, 0], [0.5, 1], [4, 3]], dtype=np.float32)  # one, half and none of it equal
        drift = drift_of(stored, reference, np.array([1, 0.5, 0.9]))
        assert (drift.identical, drift.max_difference, drift.min) == (1, 1, 0.5)
        assert drift.mean == pytest.approx(0.8)
        assert drift.percentile_1 == pytest.approx(0.508)  # 2 % of the way from .5 to .9

    def test_a_large_file_is_ranked_within_the_sample(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = find_embeddings(folder)
        row = 32 * 4
        whole = read_contents(found, size=9, seed=0, progress=Progress(), limit_bytes=48 * row)
        assert (whole.ranked_from, sum(map(len, whole.ranked))) == ("file", 48)
        part = read_contents(found, size=9, seed=0, progress=Progress(), limit_bytes=48 * row - 1)
        assert (part.ranked_from, sum(map(len, part.ranked))) == ("sample", 9)
        monkeypatch.setattr(
            "qembed.commands.verify.verify.read_contents",
            lambda *args, **more: read_contents(*args, **more, limit_bytes=row),
        )
        report = check(folder, sample=9)
        assert report.overlap is not None
        assert (report.overlap.among, report.overlap.vectors, report.overlap.k) == ("sample", 9, 8)

    def test_blocks_hold_each_vector_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verify_sample, "_ROWS_A_BLOCK", 4)
        distinct = DistinctVectors()
        for n in [*range(10), *range(10)]:
            distinct.add(np.array([n, 1], dtype=np.float32))
        distinct.finish()
        assert [len(block) for block in distinct.blocks] == [4, 4, 2]
        assert np.concatenate(distinct.blocks)[:, 0].tolist() == list(range(10))


class TestRefusals:
    def test_other_weights(self, folder: Path, tiny_models: Callable[[str], Path]) -> None:
        with pytest.raises(Mismatch, match=r"is not the model .* other weights \(SHA-256 then ") as caught:
            check(folder, model=str(tiny_models("other")))
        assert caught.value.exit_code == 5
        assert str(tiny_models("prompted")) in caught.value.message

    def test_the_model_folder_has_changed(
        self, folder: Path, tiny_models: Callable[[str], Path], tmp_path: Path, encoder: Encoder
    ) -> None:
        copy = shutil.copytree(tiny_models("prompted"), tmp_path / "model")
        assert check(folder, model=str(copy), sample=3).holds  # the same files under another name
        edit_json(copy / "config_sentence_transformers.json", prompts={"document": "other: "})
        with pytest.raises(Mismatch, match="tokenizer, prompts or configuration have changed") as caught:
            check(folder, model=str(copy))
        assert caught.value.exit_code == 5

    def test_nothing_is_read_or_loaded_before(
        self, folder: Path, tiny_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "qembed.commands.verify.verify.read_contents", lambda *_, **__: pytest.fail("read")
        )
        monkeypatch.setattr(Encoder, "load", lambda *_: pytest.fail("loaded"))
        with pytest.raises(Mismatch):
            check(folder, model=str(tiny_models("wide")))

    def test_the_model_has_gone(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        with pytest.raises(ModelUnreachable):
            check(write(tmp_path, vectors, encoder=encoder, name="/no/such/model"))

    def test_no_embeddings(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            check(tmp_path)

    def test_no_texts(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        with pytest.raises(UsageError, match="none of 2 records has a text"):
            check(write(tmp_path, vectors, [None, None], encoder=encoder))

    def test_a_bad_line(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        file = write(tmp_path, vectors, encoder=encoder) / "docs_embeddings.jsonl"
        file.write_bytes(file.read_bytes() + b'{"id": "a"}\n')
        with pytest.raises(Mismatch, match="no vector") as caught:
            check(file)
        assert str(caught.value.where).endswith("line 49")

    def test_vectors_of_two_lengths(self, tmp_path: Path, encoder: Encoder, vectors: Vectors) -> None:
        with pytest.raises(DimensionMismatch, match="has 5 dimensions, the first vector 32"):
            check(write(tmp_path, [*vectors[:3], np.ones(5)], encoder=encoder))

    @pytest.mark.parametrize("wrong", [{"sample": 0}, {"k": 0}, {"seed": -1}])
    def test_numbers_that_mean_nothing(self, folder: Path, wrong: dict[str, int]) -> None:
        with pytest.raises(UsageError):
            check(folder, **wrong)


class TestWithoutManifest:
    def test_the_model_must_be_named(self, tmp_path: Path, vectors: Vectors) -> None:
        with pytest.raises(UsageError, match="no manifest") as caught:
            check(write(tmp_path, vectors))
        assert "--model" in str(caught.value.remedy)

    def test_with_a_model(self, tmp_path: Path, vectors: Vectors, tiny_models: Callable[[str], Path]) -> None:
        report = check(write(tmp_path, vectors), model=str(tiny_models("prompted")))
        assert (report.holds, report.dtype) == (True, None)
        assert (report.min_cosine, report.why_min_cosine) == THRESHOLDS[None]

    @pytest.mark.parametrize("normalize", [True, False])
    def test_cut_vectors_are_compared_cut(
        self, tmp_path: Path, tiny_models: Callable[[str], Path], normalize: bool
    ) -> None:
        options = replace(FP32, truncate_dim=8, normalize=normalize)
        cut = Encoder.load(str(tiny_models("prompted")), options).encode(TEXTS)
        report = check(write(tmp_path, cut), model=str(tiny_models("prompted")))
        assert report.holds
        assert report.drift.max_difference < 1e-5

    def test_another_model(
        self, tmp_path: Path, vectors: Vectors, tiny_models: Callable[[str], Path]
    ) -> None:
        report = check(write(tmp_path, vectors), model=str(tiny_models("other")))
        assert not report.holds

    def test_a_smaller_model(
        self, tmp_path: Path, vectors: Vectors, tiny_models: Callable[[str], Path]
    ) -> None:
        with pytest.raises(DimensionMismatch, match=r"have 32 dimensions, .* gives 16"):
            check(write(tmp_path, vectors), model=str(tiny_models("dense")))


class TestReferenceThatFits:
    @pytest.fixture(autouse=True)
    def on_a_t4(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(reference, "pick_device", lambda _: "cuda:0")
        monkeypatch.setattr(reference, "device_here", lambda _: find_device("t4"))

    def test_auto_is_the_widest(self) -> None:
        large, small = resolve_model("nomic-embed-code"), resolve_model("minilm")
        assert reference.that_fits(small, EncoderOptions()).precision == "fp32"
        assert reference.that_fits(large, EncoderOptions()).precision == "fp16"
        assert reference.that_fits(large, EncoderOptions(precision="nf4")).precision == "nf4"

    def test_one_that_does_not_fit_names_one_that_does(self) -> None:
        with pytest.raises(QembedError, match="in fp32 does not fit Tesla T4") as caught:
            reference.that_fits(resolve_model("nomic-embed-code"), EncoderOptions(precision="fp32"))
        assert caught.value.remedy == "--reference fp16"
