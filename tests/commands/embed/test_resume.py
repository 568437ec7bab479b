"""Runs that stop early, and what a cache holds: nothing finished is made again, nothing is mixed up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qembed.commands.embed.embed import EmbedOptions, EmbedResult, embed
from qembed.commands.embed.write import ChunkWriter
from qembed.corpus import CorpusOptions
from qembed.engine import encode_rows
from qembed.errors import OutputExists, QembedError, TimeLimitReached
from qembed.models import Encoder, EncoderOptions
from qembed.progress import Progress
from qembed.store import find_embeddings, placed_records, read_journal
from qembed.store.audit.report import audit

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]
TEXTS = [f"chunk {number} " + "of some words " * (number % 5) for number in range(40)]


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    return write_chunks(tmp_path / "docs", {"a/x": TEXTS[:25], "b/y": TEXTS[20:]})


@pytest.fixture
def options(tiny: Path) -> EmbedOptions:
    return EmbedOptions(
        model=str(tiny), encoder=EncoderOptions(device="cpu", precision="fp32"), token_budget=48
    )


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Texts of every batch that went through the model."""
    seen: list[int] = []
    original = Encoder.submit

    def submit(self: Encoder, ids: Sequence[np.ndarray]) -> Any:
        seen.append(len(ids))
        return original(self, ids)

    monkeypatch.setattr(Encoder, "submit", submit)
    return seen


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``stopped(3)``: the time is up before the fourth batch."""

    def after(batches: int) -> None:
        left = repeat(False, batches)
        monkeypatch.setattr("qembed.commands.embed.embed.deadline", lambda *_, **__: lambda: next(left, True))

    return after


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


class Notes(Progress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, message: str) -> None:
        self.heard.append(message)


def bytes_of(result: EmbedResult) -> bytes:
    return result.files.embeddings.read_bytes()


@pytest.fixture
def begun(chunks: Path, tmp_path: Path, options: EmbedOptions, stopped: Callable[[int], None]) -> Path:
    """An output folder with a run that stopped after three batches."""
    stopped(3)
    with pytest.raises(TimeLimitReached) as caught:
        embed(chunks, tmp_path / "out", options)
    assert caught.value.exit_code == 3
    assert "of 40 texts" in caught.value.message
    assert "the same command resumes" in str(caught.value.remedy)
    stopped(1 << 30)
    return tmp_path / "out"


def test_nothing_is_published_before_all_is_done(begun: Path) -> None:
    assert [path.name for path in begun.iterdir()] == [".docs.work"]
    kept = {path.name for path in (begun / ".docs.work").iterdir()}
    assert kept == {".made-by-qembed", "journal.json", "vectors.f32", "done.u32", "cached.u8"}


def test_the_next_run_does_the_rest_and_ends_like_an_unbroken_one(
    begun: Path, chunks: Path, tmp_path: Path, options: EmbedOptions, submitted: list[int]
) -> None:
    resumed = embed(chunks, begun, options)
    rest, submitted[:] = list(submitted), []
    unbroken = embed(chunks, tmp_path / "unbroken", options)
    assert rest == submitted[3:]
    assert bytes_of(resumed) == bytes_of(unbroken)
    assert resumed.summary["texts_resumed"] == sum(submitted[:3])
    assert resumed.summary["texts_encoded"] == sum(rest)
    assert (
        resumed.summary["subdirectories"]["a"]["tokens"] == unbroken.summary["subdirectories"]["a"]["tokens"]
    )
    assert audit(begun).sound()
    assert not (begun / ".docs.work").exists()


def test_a_byte_that_changed_on_the_disk_is_made_again(
    begun: Path, chunks: Path, tmp_path: Path, options: EmbedOptions
) -> None:
    file = begun / ".docs.work" / "vectors.f32"
    content = bytearray(file.read_bytes())
    done = np.fromfile(begun / ".docs.work" / "done.u32", np.uint32)
    row = int(np.flatnonzero(done)[0])
    content[row * 32 * 4 + 7] ^= 1
    file.write_bytes(content)
    resumed = embed(chunks, begun, options)
    assert bytes_of(resumed) == bytes_of(embed(chunks, tmp_path / "unbroken", options))
    assert resumed.summary["texts_resumed"] < int((done != 0).sum())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_length": 12}, "max_tokens was 24, now 12"),
        ({"truncate_dim": 16}, "dimension was 32, now 16"),
        ({"normalize": False}, "normalized was True, now False"),
        ({"document_prompt": "text: "}, "prompt was '', now 'text: '"),
        ({"precision": "bf16"}, "dtype was 'fp32', now 'bf16'"),
    ],
)
def test_what_was_begun_otherwise_is_refused_by_name(
    begun: Path, chunks: Path, options: EmbedOptions, change: dict[str, Any], field: str
) -> None:
    other = replace(options, encoder=replace(options.encoder, **change))
    with pytest.raises(OutputExists) as caught:
        embed(chunks, begun, other)
    assert field in caught.value.message
    assert "--force" in str(caught.value.remedy)
    assert read_journal(begun / ".docs.work") is not None
    forced = embed(chunks, begun, replace(other, force=True))
    assert forced.summary["texts_resumed"] == 0


def test_other_chunks_are_refused(
    begun: Path, chunks: Path, options: EmbedOptions, write_chunks: WriteChunks
) -> None:
    write_chunks(chunks, {"c/z": ["a new page"]})
    with pytest.raises(OutputExists, match=r"the chunks have changed \(then 40 unique texts\)"):
        embed(chunks, begun, options)


def test_force_goes_on_with_what_fits(begun: Path, chunks: Path, options: EmbedOptions) -> None:
    resumed = embed(chunks, begun, replace(options, force=True))
    assert resumed.summary["texts_resumed"] > 0


def test_another_budget_goes_on_too(
    begun: Path, chunks: Path, options: EmbedOptions, submitted: list[int]
) -> None:
    resumed = embed(chunks, begun, replace(options, token_budget=480))
    assert resumed.summary["token_budget"] == 480
    assert resumed.summary["total_embeddings"] == 45
    assert audit(begun).sound()


def test_without_an_option_the_budget_is_that_of_the_interrupted_run(
    begun: Path, chunks: Path, tmp_path: Path, options: EmbedOptions
) -> None:
    resumed = embed(chunks, begun, replace(options, token_budget=None))
    assert resumed.summary["token_budget"] == 48
    assert bytes_of(resumed) == bytes_of(embed(chunks, tmp_path / "unbroken", options))


@pytest.mark.parametrize("content", ["", "{", '{"schema": "other"}', "[]"])
def test_a_journal_that_cannot_be_read_means_a_new_run(
    begun: Path, chunks: Path, options: EmbedOptions, content: str
) -> None:
    (begun / ".docs.work" / "journal.json").write_text(content)
    assert embed(chunks, begun, options).summary["texts_resumed"] == 0


class TestCache:
    def test_a_second_collection_encodes_only_what_is_new(
        self,
        chunks: Path,
        tmp_path: Path,
        options: EmbedOptions,
        write_chunks: WriteChunks,
        submitted: list[int],
    ) -> None:
        cached = replace(options, cache=tmp_path / "cache")
        first = embed(chunks, tmp_path / "one", cached)
        assert (first.summary["texts_from_cache"], first.summary["texts_encoded"]) == (0, 40)
        submitted.clear()
        other = write_chunks(tmp_path / "other", {"a/x": [*TEXTS[:10], "only here"]})
        notes = Notes()
        second = embed(other, tmp_path / "two", cached, progress=notes)
        assert submitted == [1]
        assert (second.summary["texts_from_cache"], second.summary["texts_encoded"]) == (10, 1)
        assert "10 of 11 texts are in the cache" in notes.heard
        vectors = {
            record["text"]: record["embedding"]
            for record in map(json.loads, first.files.embeddings.read_text().splitlines())
        }
        for record in map(json.loads, second.files.embeddings.read_text().splitlines()):
            assert record["embedding"] == vectors.get(record["text"], record["embedding"])
        assert audit(tmp_path / "two").sound()

    def test_vectors_made_otherwise_are_not_taken(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions
    ) -> None:
        cached = replace(options, cache=tmp_path / "cache")
        embed(chunks, tmp_path / "one", cached)
        shorter = replace(cached, encoder=replace(cached.encoder, max_length=12))
        assert embed(chunks, tmp_path / "two", shorter).summary["texts_from_cache"] == 0

    def test_all_from_the_cache(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, submitted: list[int]
    ) -> None:
        cached = replace(options, cache=tmp_path / "cache")
        first = embed(chunks, tmp_path / "one", cached)
        submitted.clear()
        second = embed(chunks, tmp_path / "two", cached)
        assert submitted == []
        assert bytes_of(first) == bytes_of(second)

    def test_an_interrupted_run_with_a_cache_goes_on(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, stopped: Callable[[int], None]
    ) -> None:
        cached = replace(options, cache=tmp_path / "cache")
        embed(chunks, tmp_path / "some", replace(cached, corpus=CorpusOptions(limit=5)))
        stopped(2)
        with pytest.raises(TimeLimitReached):
            embed(chunks, tmp_path / "out", cached)
        stopped(1 << 30)
        result = embed(chunks, tmp_path / "out", cached)
        assert result.summary["texts_from_cache"] == 10
        assert result.summary["texts_resumed"] > 0
        assert result.summary["texts_encoded"] + result.summary["texts_resumed"] == 30
        assert audit(tmp_path / "out").sound()

    @pytest.mark.parametrize("lost", ["some", "all", "torn"])
    @pytest.mark.parametrize("format", ["jsonl", "npy", "parquet"])
    def test_a_power_cut_that_keeps_the_journal_and_loses_cached_rows(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, format: Any, lost: str
    ) -> None:
        """Flags and journal reach the disk first, the mapped rows later."""
        cached = replace(options, cache=tmp_path / "cache", format=format, shard_records=7)
        whole = embed(chunks, tmp_path / "whole", cached)
        with pytest.raises(TimeLimitReached):
            embed(chunks, tmp_path / "out", replace(cached, cache=None, time_limit_seconds=1e-6))
        # All texts come from the cache, and the run ends before it has written anything.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("qembed.commands.embed.embed.encode_rows", interrupted)
            with pytest.raises(KeyboardInterrupt):
                embed(chunks, tmp_path / "out", cached)
        work = tmp_path / "out" / ".docs.work"
        vectors = np.fromfile(work / "vectors.f32", np.float32).reshape(40, -1)
        checksums = np.fromfile(work / "done.u32", np.uint32)
        assert checksums.all()
        rows = slice(None) if lost == "all" else slice(5, 9)
        if lost == "torn":
            vectors[rows, ::2] = 0
        else:
            vectors[rows], checksums[rows] = 0, 0
        vectors.tofile(work / "vectors.f32")
        checksums.tofile(work / "done.u32")
        notes = Notes()
        result = embed(chunks, tmp_path / "out", cached, progress=notes)
        assert not any("-" in note.split(":")[-1] for note in notes.heard)
        assert result.summary["failed"] == []
        assert result.summary["total_embeddings"] == 45
        assert audit(tmp_path / "out").sound()
        assert [record.id for record, _ in placed_records(find_embeddings(tmp_path / "out"))] == [
            record.id for record, _ in placed_records(find_embeddings(tmp_path / "whole"))
        ]
        assert whole.summary["total_embeddings"] == 45

    @pytest.mark.parametrize("damage", [b"", b"\x07" * 40, b"\x93NUMPY", None])
    def test_damaged_flags_cost_time_only(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, damage: bytes | None
    ) -> None:
        cached = replace(options, cache=tmp_path / "cache")
        embed(chunks, tmp_path / "some", replace(cached, corpus=CorpusOptions(limit=5)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("qembed.commands.embed.embed.encode_rows", interrupted)
            with pytest.raises(KeyboardInterrupt):
                embed(chunks, tmp_path / "out", cached)
        flags = tmp_path / "out" / ".docs.work" / "cached.u8"
        flags.unlink() if damage is None else flags.write_bytes(damage)
        result = embed(chunks, tmp_path / "out", cached)
        assert result.summary["total_embeddings"] == 45
        assert audit(tmp_path / "out").sound()

    @pytest.mark.parametrize("kind", ["file", "other", "link"])
    def test_a_cache_that_cannot_be_begun_costs_only_itself(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, kind: str
    ) -> None:
        cache = tmp_path / "cache"
        if kind == "file":
            cache.write_text("mine")
        elif kind == "link":
            cache.symlink_to(tmp_path / "nowhere" / "deep")
        else:
            embed(chunks, tmp_path / "first", replace(options, cache=cache))
            next(cache.glob("*/identity.json")).write_text("{}")
        notes = Notes()
        result = embed(chunks, tmp_path / "out", replace(options, cache=cache), progress=notes)
        if kind != "link":  # a folder can be made where a dangling link leads
            assert any(note.startswith("the vector cache") for note in notes.heard)
        assert result.summary["texts_encoded"] == 40
        assert kind != "file" or cache.read_text() == "mine"


def test_nothing_incomplete_is_published(chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
    """Whatever loses a row: the run stops before any file has its name, and the next one completes it."""

    def losing(pool: Any, rows: Any, *arguments: Any, **more: Any) -> Any:
        encoded = encode_rows(pool, rows, *arguments, **more)
        rows.forget(np.array([3]))
        return encoded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qembed.commands.embed.embed.encode_rows", losing)
        patch.setattr(ChunkWriter, "rows_done", lambda *_: None)
        with pytest.raises(QembedError, match="44 records were written, 45 chunks have a vector"):
            embed(chunks, tmp_path / "out", options)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".docs.work"]
    assert embed(chunks, tmp_path / "out", options).summary["total_embeddings"] == 45


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": "\xed\xa0\x80"}', None])
def test_a_damaged_summary_is_refused_with_a_reason(
    chunks: Path, tmp_path: Path, options: EmbedOptions, content: bytes | None
) -> None:
    files = embed(chunks, tmp_path / "out", options).files
    files.summary.unlink() if content is None else files.summary.write_bytes(content)
    with pytest.raises(OutputExists, match="has changed or lost a file since"):
        embed(chunks, tmp_path / "out", options)
    assert embed(chunks, tmp_path / "out", replace(options, force=True)).status == "written"


class TestForeignFiles:
    """Only what our manifest lists is ever removed, and only by a run that replaces it."""

    FOREIGN = ("docs_embeddings.parquet", "docs_embeddings.npy", "docs_embeddings.ids.jsonl",
               "docs_embeddings-00001-of-00002.jsonl", "docs_notes.txt")  # fmt: skip

    @pytest.mark.parametrize("again", ["unchanged", "forced", "another format"])
    def test_they_stay(self, chunks: Path, tmp_path: Path, options: EmbedOptions, again: str) -> None:
        embed(chunks, tmp_path / "out", options)
        for name in self.FOREIGN:
            (tmp_path / "out" / name).write_text("mine")
        changed = {"forced": {"force": True}, "another format": {"force": True, "shard_records": 20}}
        result = embed(chunks, tmp_path / "out", replace(options, **changed.get(again, {})))
        assert result.status == ("unchanged" if again == "unchanged" else "written")
        for name in self.FOREIGN:
            assert (tmp_path / "out" / name).read_text() == "mine"
        shards = sorted(path.name for path in (tmp_path / "out").glob("docs_embeddings*of-00003.jsonl"))
        assert len(shards) == (3 if again == "another format" else 0)
        assert (tmp_path / "out" / "docs_embeddings.jsonl").exists() == (again != "another format")


@pytest.mark.parametrize("shards", [None, 7])
@pytest.mark.parametrize("format", ["jsonl", "npy", "parquet"])
def test_every_format_holds_the_same(
    chunks: Path, tmp_path: Path, options: EmbedOptions, format: Any, shards: int | None
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    from qembed.store import find_embeddings, read_records

    plain = embed(chunks, tmp_path / "plain", options)
    result = embed(chunks, tmp_path / "out", replace(options, format=format, shard_records=shards))
    assert audit(tmp_path / "out").sound()
    expected = [(record.id, record.text, record.metadata) for record in read_records(plain.files.embeddings)]
    found = [record for part in find_embeddings(tmp_path / "out").parts for record in read_records(part)]
    assert [(record.id, record.text, record.metadata) for record in found] == expected
    stacked = np.stack([record.vector for record in found])
    assert (stacked == np.stack([record.vector for record in read_records(plain.files.embeddings)])).all()
    manifest = json.loads(result.files.manifest.read_text())
    assert manifest["output"]["format"] == format
    again = embed(chunks, tmp_path / "out", replace(options, format=format, shard_records=shards))
    assert again.status == "unchanged"
    with pytest.raises(OutputExists, match=r"format|shard_records"):
        embed(chunks, tmp_path / "out", replace(options, format="jsonl", shard_records=3))
    forced = replace(options, format="jsonl", shard_records=20, force=True)
    embed(chunks, tmp_path / "out", forced)
    assert sorted(path.name for path in (tmp_path / "out").glob("*_embeddings*")) == [
        f"docs_embeddings-0000{number}-of-00003.jsonl" for number in (1, 2, 3)
    ]


def test_a_time_limit_in_seconds(chunks: Path, tmp_path: Path, options: EmbedOptions) -> None:
    with pytest.raises(TimeLimitReached):
        embed(chunks, tmp_path / "out", replace(options, time_limit_seconds=1e-6))
    assert list((tmp_path / "out").iterdir()) == []
    assert embed(chunks, tmp_path / "out", replace(options, time_limit_seconds=3600)).status == "written"


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_any_number_of_workers_gives_the_same_vectors(
    chunks: Path, tmp_path: Path, options: EmbedOptions, workers: int
) -> None:
    alone = embed(chunks, tmp_path / "one", options)
    several = replace(options, encoder=replace(options.encoder, device=f"cpu*{workers}"))
    result = embed(chunks, tmp_path / "several", several)
    lines = [[json.loads(line) for line in bytes_of(each).splitlines()] for each in (alone, result)]
    assert [record["id"] for record in lines[0]] == [record["id"] for record in lines[1]]
    cosines = [float(np.dot(one["embedding"], other["embedding"])) for one, other in zip(*lines, strict=True)]
    assert min(cosines) >= 0.99999
    devices = result.summary["devices"]
    assert [device["device"] for device in devices] == [f"cpu#{number}" for number in range(workers)]
    assert sum(device["texts"] for device in devices) == 40
