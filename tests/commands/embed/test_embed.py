"""``embed`` end to end with a small model: every number of the output recomputed another way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qembed.commands.embed.embed import EmbedOptions, EmbedResult, embed
from qembed.corpus import CorpusOptions
from qembed.errors import CheckFailed, DuplicateIds, InputNotFound, ModelUnreachable, QembedError, UsageError
from qembed.models import Encoder, EncoderOptions
from qembed.progress import DeviceStatus, Progress
from qembed.records import REQUIRED_METADATA
from qembed.store.audit.report import audit

NAVIGATION = "home docs search index"
PAGES = {
    "docs/intro": [NAVIGATION, "a vector and a point " * 9, "search the index", "x"],
    "docs/usage": [NAVIGATION, "filter by payload", "search the index"],
    "code/client": ["def query(model): ...", "a vector and a point " * 9, "Größe, naïve café: 日本語"],
    "code/model": [NAVIGATION, "chunk " * 23],
}
TEXTS = [text for page in ("code/client", "code/model", "docs/intro", "docs/usage") for text in PAGES[page]]

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    return write_chunks(tmp_path / "collection", PAGES)


@pytest.fixture
def options(tiny: Path) -> EmbedOptions:
    return EmbedOptions(
        model=str(tiny), encoder=EncoderOptions(device="cpu", precision="fp32"), token_budget=60
    )


@pytest.fixture
def explode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is an error."""

    def boom(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(Encoder, "load", boom)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The token ids that went through the model."""
    seen: list[tuple[int, ...]] = []
    original = Encoder.submit

    def submit(self: Encoder, ids: Sequence[np.ndarray]) -> Any:
        seen.extend(tuple(item.tolist()) for item in ids)
        return original(self, ids)

    monkeypatch.setattr(Encoder, "submit", submit)
    return seen


def records(result: EmbedResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.files.embeddings.read_text(encoding="utf-8").splitlines()]


def vectors(result: EmbedResult) -> np.ndarray:
    return np.array([record["embedding"] for record in records(result)], dtype=np.float32)


class Heard(Progress):
    """Keeps all news."""

    def __init__(self) -> None:
        self.phases: list[list[Any]] = []
        self.notes: list[str] = []
        self.statuses: list[DeviceStatus] = []
        self.closed = 0

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.phases.append([name, total, unit, 0, 0])

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.phases[-1][3] += amount
        self.phases[-1][4] += texts

    def expect(self, total: int) -> None:
        self.phases[-1][1] = total

    def devices(self, statuses: Sequence[DeviceStatus]) -> None:
        self.statuses = list(statuses)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def close(self) -> None:
        self.closed += 1


def not_finite(monkeypatch: pytest.MonkeyPatch, which: Callable[[np.ndarray], bool]) -> None:
    """The model gives NaN for some token ids."""
    original = Encoder.submit

    def submit(self: Encoder, ids: Sequence[np.ndarray]) -> Any:
        pending = original(self, ids)
        vectors = pending.result()
        for vector, item in zip(vectors, ids, strict=True):
            if which(item):
                vector[0] = np.nan
        return pending

    monkeypatch.setattr(Encoder, "submit", submit)


class TestOutput:
    def test_records_are_the_chunks_in_input_order(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions
    ) -> None:
        result = embed(chunks, tmp_path / "out", options)
        found = records(result)
        assert result.status == "written"
        assert [record["text"] for record in found] == TEXTS
        assert [list(record) for record in found] == [["id", "text", "embedding", "metadata"]] * len(TEXTS)
        assert found[0]["id"] == "collection:code:client.md:chunk:0"
        assert found[-1]["id"] == "collection:docs:usage.md:chunk:2"
        for record in found:
            assert set(REQUIRED_METADATA) <= set(record["metadata"])
            assert record["metadata"]["content_sha256"] == sha256(record["text"].encode()).hexdigest()
            assert record["metadata"]["original"]["chunk_id"].startswith("old:")
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == [
            "collection_embedding_manifest.json",
            "collection_embedding_summary.json",
            "collection_embeddings.jsonl",
        ]

    def test_vectors_are_those_of_sentence_transformers(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions
    ) -> None:
        from sentence_transformers import SentenceTransformer

        found = vectors(embed(chunks, tmp_path / "out", options))
        expected = SentenceTransformer(options.model, device="cpu").encode(TEXTS, normalize_embeddings=True)
        assert (found * expected).sum(1).min() >= 0.99999
        assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5

    def test_each_unique_text_is_encoded_once_and_copies_share_every_bit(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, encoded: list[tuple[int, ...]]
    ) -> None:
        result = embed(chunks, tmp_path / "out", options)
        assert len(encoded) == len(set(encoded)) == len(set(TEXTS))
        by_text: dict[str, set[bytes]] = {}
        for text, vector in zip(TEXTS, vectors(result), strict=True):
            by_text.setdefault(text, set()).add(vector.tobytes())
        assert all(len(found) == 1 for found in by_text.values())
        assert len(set.union(*by_text.values())) == len(by_text)

    def test_token_counts_are_those_before_truncation(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions
    ) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=True)
        for record in records(embed(chunks, tmp_path / "out", options)):
            ids = tokenizer(record["text"], truncation=False, verbose=False)["input_ids"]
            assert record["metadata"]["token_count"] == len(ids)

    def test_an_older_token_count_is_kept_as_the_original(
        self, tmp_path: Path, write_chunks: WriteChunks, options: EmbedOptions
    ) -> None:
        item = {"content": "vector", "metadata": {"token_count": 99, "source_file": "docs/a.md"}}
        write_chunks(tmp_path / "in", {"docs/a": [item]})
        (record,) = records(embed(tmp_path / "in", tmp_path / "out", options))
        assert record["metadata"]["token_count"] == 3
        assert record["metadata"]["original"]["token_count"] == 99

    @pytest.mark.parametrize(
        ("budget", "limit"), [(1, None), (25, 2), (100, None), (100_000, None), (100_000, 1)]
    )
    def test_the_same_vectors_whatever_the_budget(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, budget: int, limit: int | None
    ) -> None:
        reference = vectors(embed(chunks, tmp_path / "reference", options))
        found = vectors(
            embed(chunks, tmp_path / "out", replace(options, token_budget=budget, max_batch=limit))
        )
        assert (found * reference).sum(1).min() >= 0.99999

    def test_document_prompt_of_the_model(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, tiny_models: Callable[[str], Path]
    ) -> None:
        folder = str(tiny_models("prompted"))
        result = embed(chunks, tmp_path / "out", replace(options, model=folder))
        expected = Encoder.load(folder, options.encoder).encode(TEXTS, "document")
        assert (vectors(result) * expected).sum(1).min() >= 0.99999
        assert result.summary["model"]["prompt"] == "passage: "
        assert records(result)[0]["metadata"]["token_count"] == 2 + result_tokens(options.model, TEXTS[0])

    def test_limit_per_subdirectory(self, chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
        limited = replace(options, corpus=CorpusOptions(limit=2))
        assert [record["text"] for record in records(embed(chunks, tmp_path / "out", limited))] == [
            *PAGES["code/client"][:2],
            *PAGES["docs/intro"][:2],
        ]

    def test_collection_name(self, chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
        named = replace(options, corpus=CorpusOptions(collection="Größe 1"))
        result = embed(chunks, tmp_path / "out", named)
        assert result.files.embeddings.name == "Größe 1_embeddings.jsonl"
        assert records(result)[0]["id"] == "Größe 1:code:client.md:chunk:0"

    def test_one_text(self, tmp_path: Path, write_chunks: WriteChunks, options: EmbedOptions) -> None:
        write_chunks(tmp_path / "in", {"a": ["x"]})
        (record,) = records(embed(tmp_path / "in", tmp_path / "out", options))
        assert record["metadata"]["subdirectory"] == "root"


def result_tokens(model: str, text: str) -> int:
    from qembed.models import load_tokenizer

    return int(load_tokenizer(model).count([text])[0])


class TestSummary:
    @pytest.fixture
    def result(self, chunks: Path, tmp_path: Path, options: EmbedOptions) -> EmbedResult:
        (chunks / "docs" / "broken_chunks.json").write_text('[{"content": "cut off')
        (chunks / "docs" / "odd_chunks.json").write_text(
            '[{"content": 5}, {"content": "fine", "metadata": {}}]'
        )
        return embed(chunks, tmp_path / "out", options)

    def test_numbers(self, result: EmbedResult, options: EmbedOptions) -> None:
        summary = json.loads(result.files.summary.read_text(encoding="utf-8"))
        assert summary == result.summary
        found = records(result)
        tokens = [record["metadata"]["token_count"] for record in found]
        assert summary["collection"] == "collection"
        assert summary["vector_dimension"] == 32
        assert summary["total_chunks"] == summary["total_embeddings"] == len(TEXTS) + 1 == len(found)
        assert summary["unique_texts"] == len({record["text"] for record in found})
        assert summary["total_tokens"] == sum(tokens)
        assert summary["truncated_chunks"] == sum(count > 24 for count in tokens) > 0
        assert summary["tokens_lost"] == sum(max(0, count - 24) for count in tokens) > 0
        for name, entry in summary["subdirectories"].items():
            mine = [record for record in found if record["metadata"]["subdirectory"] == name]
            assert entry["chunks"] == len(mine)
            assert entry["tokens"] == sum(record["metadata"]["token_count"] for record in mine)
        assert summary["subdirectories"]["code"]["files"] == 2
        assert summary["model"]["id"] == options.model
        assert summary["model"]["max_tokens"] == 24
        assert summary["model"]["dtype"] == "fp32"
        assert summary["phases_seconds"].keys() == {"read", "load", "encode", "write"}
        assert summary["peak_memory"]["host_bytes"] > 50_000_000

    def test_batches_within_the_budget(self, result: EmbedResult) -> None:
        summary = result.summary
        history = summary["batch_history"]
        read = {record["text"]: min(24, record["metadata"]["token_count"]) for record in records(result)}
        assert sum(batch["texts"] for batch in history) == len(read) == summary["unique_texts"]
        assert sum(batch["tokens"] for batch in history) == sum(read.values())
        assert all(batch["padded_tokens"] <= 60 or batch["texts"] == 1 for batch in history)
        padded = sum(batch["padded_tokens"] for batch in history)
        assert summary["padding_waste"] == pytest.approx(1 - sum(read.values()) / padded, abs=1e-6)
        assert summary["batches"] == len(history)

    def test_everything_skipped_is_listed(self, result: EmbedResult) -> None:
        skipped = {(item["file"], item["kind"]) for item in result.summary["skipped"]}
        assert {file for file, _ in skipped} == {"docs/broken_chunks.json", "docs/odd_chunks.json"}
        odd = next(item for item in result.summary["skipped"] if "odd" in item["file"])
        assert (odd["item"], odd["kind"], odd["lost"]) == (0, "text-not-a-string", "chunk")
        assert all(item["reason"] for item in result.summary["skipped"])

    def test_manifest(self, result: EmbedResult, options: EmbedOptions, chunks: Path) -> None:
        manifest = json.loads(result.files.manifest.read_text(encoding="utf-8"))
        content = result.files.embeddings.read_bytes()
        output = manifest["output"]
        assert output["bytes"] == len(content)
        assert output["sha256"] == sha256(content).hexdigest()
        lines = [f"{r['id']}\t{sha256(r['text'].encode()).hexdigest()}\n" for r in records(result)]
        assert output["chunks_fingerprint"] == sha256("".join(lines).encode()).hexdigest()
        assert (output["records"], output["dimension"]) == (len(TEXTS) + 1, 32)
        weights = sha256((Path(options.model) / "model.safetensors").read_bytes()).hexdigest()
        assert manifest["model"]["weights_sha256"] == weights
        assert manifest["model"]["normalized"] is True
        assert manifest["inputs"]["path"] == str(chunks)
        assert manifest["inputs"]["chunks"] == len(TEXTS) + 1
        assert manifest["settings"]["model"] == options.model
        assert manifest["environment"]["libraries"]["torch"]
        assert manifest["schema"] == "qembed.manifest/1"


class TestDryRun:
    def test_it_writes_nothing_and_loads_no_weights(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, explode: None
    ) -> None:
        before = sorted(tmp_path.rglob("*"))
        result = embed(chunks, tmp_path / "out", replace(options, dry_run=True))
        assert result.status == "planned"
        assert sorted(tmp_path.rglob("*")) == before

    def test_it_says_what_the_run_then_does(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions
    ) -> None:
        planned = embed(chunks, tmp_path / "out", replace(options, dry_run=True)).summary
        done = embed(chunks, tmp_path / "out", options).summary
        same = (
            "total_chunks unique_texts total_tokens truncated_chunks tokens_lost batches token_budget "
            "padding_waste skipped collection"
        )
        for key in same.split():
            assert planned[key] == done[key], key
        assert planned["tokens_to_encode"] == sum(batch["tokens"] for batch in done["batch_history"])
        for name, entry in planned["subdirectories"].items():
            assert {**entry, "seconds": 0} == {**done["subdirectories"][name], "seconds": 0}


class TestStopsBeforeTheModel:
    def test_strict(self, chunks: Path, tmp_path: Path, options: EmbedOptions, explode: None) -> None:
        (chunks / "docs" / "bad_chunks.json").write_text('[{"content": ""}]')
        with pytest.raises(CheckFailed, match="--strict: 1 findings") as caught:
            embed(chunks, tmp_path / "out", replace(options, strict=True))
        assert caught.value.exit_code == 3
        assert "docs/bad_chunks.json, item 0" in str(caught.value.where)
        assert list((tmp_path / "out").iterdir()) == []

    def test_strict_without_findings(self, chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
        assert embed(chunks, tmp_path / "out", replace(options, strict=True)).status == "written"

    def test_duplicate_ids(
        self, tmp_path: Path, write_chunks: WriteChunks, options: EmbedOptions, explode: None
    ) -> None:
        same = {"content": "x", "metadata": {"source_file": "docs/a.md", "chunk_index": 0}}
        write_chunks(tmp_path / "in", {"docs/a": [same], "docs/b": ["y", same]})
        with pytest.raises(DuplicateIds, match=r"in:docs:a\.md:chunk:0") as caught:
            embed(tmp_path / "in", tmp_path / "out", options)
        assert caught.value.exit_code == 3
        assert caught.value.where == "docs/a_chunks.json, item 0 and docs/b_chunks.json, item 1"

    def test_no_readable_chunk(
        self, tmp_path: Path, write_chunks: WriteChunks, options: EmbedOptions, explode: None
    ) -> None:
        write_chunks(tmp_path / "in", {"docs/a": [{"content": " "}]})
        with pytest.raises(InputNotFound, match="could be read") as caught:
            embed(tmp_path / "in", tmp_path / "out", options)
        assert caught.value.exit_code == 2
        assert "empty-text" in str(caught.value.where)

    def test_missing_and_empty_input(self, tmp_path: Path, options: EmbedOptions, explode: None) -> None:
        (tmp_path / "empty").mkdir()
        for name in ("absent", "empty"):
            with pytest.raises(InputNotFound):
                embed(tmp_path / name, tmp_path / "out", options)

    def test_the_default_model_offline(self, chunks: Path, tmp_path: Path, explode: None) -> None:
        with pytest.raises(ModelUnreachable, match="nomic-ai/nomic-embed-code") as caught:
            embed(chunks, tmp_path / "out")
        assert caught.value.exit_code == 4
        assert "--model minilm" in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_a_huge_model_without_a_gpu(
        self, chunks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, explode: None
    ) -> None:
        monkeypatch.setattr("qembed.commands.embed.steps.check_reachable", lambda _: None)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(
            QembedError, match=r"7\.07 billion parameters and this machine has no GPU"
        ) as caught:
            embed(chunks, tmp_path / "out")
        assert "--model minilm" in str(caught.value)

    def test_an_output_that_is_a_file(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, explode: None
    ) -> None:
        (tmp_path / "out").touch()
        with pytest.raises(UsageError, match="not a folder"):
            embed(chunks, tmp_path / "out", options)


class TestFailures:
    def test_no_vector_at_all_leaves_nothing(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        not_finite(monkeypatch, lambda ids: True)
        with pytest.raises(QembedError, match="no text has a vector") as caught:
            embed(chunks, tmp_path / "out", options)
        assert "not finite" in str(caught.value.where)
        assert list((tmp_path / "out").iterdir()) == []

    def test_a_text_without_a_vector_is_left_out_and_named(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = records(embed(chunks, tmp_path / "whole", options))
        lengths: list[int] = []
        not_finite(monkeypatch, lambda ids: not lengths and not lengths.append(len(ids)))  # the first only
        result = embed(chunks, tmp_path / "out", options)
        lost = [entry["id"] for entry in result.failed]
        assert 1 <= len(lost) < len(TEXTS)
        assert {record["text"] for record in whole if record["id"] in lost} == {
            next(record["text"] for record in whole if record["id"] == lost[0])
        }
        assert records(result) == [record for record in whole if record["id"] not in lost]
        assert {entry["kind"] for entry in result.failed} == {"not-finite"}
        assert result.summary["total_embeddings"] == len(whole) - len(lost)
        assert audit(tmp_path / "out").sound()

    def test_an_error_of_the_model_is_told_with_its_words(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("shapes do not match\nsecond line")

        monkeypatch.setattr(Encoder, "submit", fail)
        with pytest.raises(
            QembedError, match=r"the model failed: RuntimeError: shapes do not match"
        ) as caught:
            embed(chunks, tmp_path / "out", options)
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert list((tmp_path / "out").iterdir()) == []

    def test_ctrl_c_keeps_what_is_finished_and_nothing_else(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, small = tmp_path / "out", replace(options, token_budget=60)
        unbroken = embed(chunks, tmp_path / "unbroken", small)
        original, calls = Encoder.submit, []

        def interrupt(self: Encoder, ids: Sequence[np.ndarray]) -> Any:
            calls.append(len(ids))
            if len(calls) in (1, 4):
                raise KeyboardInterrupt
            return original(self, ids)

        monkeypatch.setattr(Encoder, "submit", interrupt)
        heard = Heard()
        with pytest.raises(KeyboardInterrupt):
            embed(chunks, out, small, progress=heard)
        assert list(out.iterdir()) == []  # before the first batch: nothing to keep
        with pytest.raises(KeyboardInterrupt):
            embed(chunks, out, small)
        assert [path.name for path in out.iterdir()] == [".collection.work"]
        result = embed(chunks, out, small, progress=heard)
        assert result.summary["texts_resumed"] == sum(calls[1:3])
        assert result.summary["texts_encoded"] == result.summary["unique_texts"] - sum(calls[1:3])
        assert any("the same command resumes" in note for note in heard.notes)
        assert any("resuming an interrupted run" in note for note in heard.notes)
        assert result.files.embeddings.read_bytes() == unbroken.files.embeddings.read_bytes()

    def test_a_full_disk_while_writing_leaves_the_old_output(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno
        import os

        out = tmp_path / "out"
        embed(chunks, out, options)
        before = {path.name: path.read_bytes() for path in out.iterdir()}

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(QembedError, match="No space left") as caught:
            embed(chunks, out, replace(options, force=True, encoder=replace(options.encoder, truncate_dim=8)))
        assert caught.value.exit_code == 1
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


class TestProgress:
    def test_every_phase_is_told(self, chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
        heard = Heard()
        result = embed(chunks, tmp_path / "out", options, progress=heard)
        read = sum(batch["tokens"] for batch in result.summary["batch_history"])
        unique = len(set(TEXTS))
        assert [phase[:3] for phase in heard.phases] == [
            ["reading chunks", None, "chunks"],
            [f"loading {options.model}", None, ""],
            ["encoding", read, "tokens"],
            ["writing", len(TEXTS), "chunks"],
        ]
        assert heard.phases[0][3] == len(TEXTS)
        assert heard.phases[2][3:] == [read, unique]
        assert [(status.device, status.texts, status.tokens) for status in heard.statuses] == [
            ("cpu", unique, read)
        ]
        assert heard.closed == 1

    def test_it_is_closed_after_an_error(
        self, tmp_path: Path, write_chunks: WriteChunks, options: EmbedOptions
    ) -> None:
        heard = Heard()
        write_chunks(tmp_path / "in", {"docs/a": [{"content": " "}]})
        with pytest.raises(InputNotFound):
            embed(tmp_path / "in", tmp_path / "out", options, progress=heard)
        assert heard.closed == 1


class TestBundledModel:
    def test_real_text(self, minilm: Path, tmp_path: Path, write_chunks: WriteChunks) -> None:
        from sentence_transformers import SentenceTransformer

        texts = [
            "Qdrant filters by payload while it searches: a condition per field, in must and should.",
            "A snapshot is a tar archive of a collection's segments.",
            "Qdrant filters by payload while it searches: a condition per field, in must and should.",
            "HNSW is a graph of layers. " * 60,
        ]
        write_chunks(tmp_path / "in", {"docs/a": texts})
        result = embed(
            tmp_path / "in",
            tmp_path / "out",
            EmbedOptions(model="minilm", encoder=EncoderOptions(device="cpu", precision="fp32")),
        )
        expected = SentenceTransformer(str(minilm), device="cpu").encode(texts, normalize_embeddings=True)
        assert (vectors(result) * expected).sum(1).min() >= 0.99999
        assert result.differences == ()
        assert result.summary["vector_dimension"] == 384
        assert result.summary["unique_texts"] == 3
        assert result.summary["truncated_chunks"] == 1
        assert result.summary["model"]["id"] == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path: Path) -> Iterator[None]:
    """Whatever happened, no unfinished or hidden file stays."""
    yield
    hidden = [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert hidden == []


def test_a_missing_input_leaves_no_output_folder(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="does not exist"):
        embed(tmp_path / "absent", tmp_path / "out", EmbedOptions(model="minilm"))
    assert not (tmp_path / "out").exists()
