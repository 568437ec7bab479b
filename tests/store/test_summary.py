"""The summary's numbers, each recomputed one chunk at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.records import Finding, Place
from qembed.store import EncodingWork, build_summary, describe_finding, subdirectory_stats
from qembed.store import summary as summaries

MODEL = {
    "id": "owner/x",
    "revision": "abc",
    "dtype": "fp32",
    "document_prompt": "passage: ",
    "max_tokens": 10,
    "dimension": 4,
    "device": "cpu",
    "device_name": "a processor",
}


@given(data=st.data())
def test_statistics_by_subdirectory(data: st.DataObject) -> None:
    names = ["a", "b", "c"]
    chunks = data.draw(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from("tuvwxyz")), min_size=1, max_size=30)
    )
    lengths_of = {text: data.draw(st.integers(1, 20)) for text in "tuvwxyz"}
    unique = list(dict.fromkeys(text for _, text in chunks))
    first = [next(i for i, (_, text) in enumerate(chunks) if text == wanted) for wanted in unique]
    seconds = np.arange(len(unique)) + 0.5
    stats = subdirectory_stats(
        names=names,
        files=[3, 2, 1],
        codes=np.array([code for code, _ in chunks]),
        first=np.array(first),
        inverse=np.array([unique.index(text) for _, text in chunks]),
        lengths=np.array([lengths_of[text] for text in unique]),
        max_tokens=10,
        seconds=seconds,
    )
    assert list(stats) == names
    for code, name in enumerate(names):
        texts = [text for at, text in chunks if at == code]
        mine = [number for number, position in enumerate(first) if chunks[position][0] == code]
        entry = stats[name]
        assert entry.files == [3, 2, 1][code]
        assert entry.chunks == len(texts)
        assert entry.unique_texts == len(mine)
        assert entry.tokens == sum(lengths_of[text] for text in texts)
        assert entry.truncated_chunks == sum(lengths_of[text] > 10 for text in texts)
        assert entry.tokens_lost == sum(max(0, lengths_of[text] - 10) for text in texts)
        assert entry.seconds == pytest.approx(sum(seconds[number] for number in mine))
    assert sum(entry.unique_texts for entry in stats.values()) == len(unique)


def stats(**changes: Any) -> Any:
    values = {
        "files": 1,
        "chunks": 6,
        "unique_texts": 4,
        "tokens": 60,
        "truncated_chunks": 1,
        "tokens_lost": 5,
    }
    return summaries.SubdirectoryStats(**{**values, "seconds": 1.5, **changes})


def build(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "collection": "docs",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "model": MODEL,
        "findings": [
            Finding("no-text", Place("a.json", item=3), "why"),
            Finding("cut", Place("b.jsonl", line=2), "w", "file"),
        ],
        "subdirectories": {"a": stats(), "b": stats(chunks=4, tokens_lost=2)},
        "unique_texts": 8,
        "failed": [{"id": "a", "tokens": 3, "kind": "not-finite", "reason": "why"}],
        "work": EncodingWork(
            texts=7,
            tokens=40,
            padded_tokens=45,
            batches=2,
            history=[
                {"tokens": 30, "padded_tokens": 34, "texts": 5},
                {"tokens": 10, "padded_tokens": 11, "texts": 2},
            ],
            splits=[{"texts": 9, "padded_tokens": 60}],
            retried=1,
            resumed=2,
            cached=3,
        ),
        "devices": [{"device": "cpu", "name": "a processor", "texts": 7}],
        "token_budget": 4096,
        "phases_seconds": {"read": 1.0, "encode": 2.0, "write": 1.0},
        "memory": {"host_bytes": 5},
    }
    return build_summary(**{**arguments, **changes})


def test_numbers() -> None:
    found = build()
    assert found["total_chunks"] == 10
    assert found["total_embeddings"] == 9
    assert [entry["id"] for entry in found["failed"]] == ["a"]
    assert (found["texts_encoded"], found["texts_resumed"], found["texts_from_cache"]) == (7, 2, 3)
    assert found["texts_retried_in_fp32"] == 1
    assert found["unique_texts"] == 8
    assert found["truncated_chunks"] == 2
    assert found["tokens_lost"] == 7
    assert found["total_tokens"] == 120
    assert found["processing_time_minutes"] == pytest.approx(4 / 60, abs=1e-4)
    assert found["average_speed_chunks_per_sec"] == 2.5
    assert found["texts_per_sec"] == 3.5
    assert found["tokens_per_sec"] == 20.0
    assert found["padding_waste"] == round(1 - 40 / 45, 6)
    assert found["model"] == {
        "id": "owner/x",
        "revision": "abc",
        "dtype": "fp32",
        "weights_note": "",
        "prompt": "passage: ",
        "max_tokens": 10,
    }
    assert found["devices"] == [{"device": "cpu", "name": "a processor", "texts": 7}]
    assert found["subdirectories"]["b"]["chunks"] == 4
    assert found["batches"] == 2
    assert found["oom_splits"] == [{"texts": 9, "padded_tokens": 60}]


def test_everything_skipped_is_listed() -> None:
    assert build()["skipped"] == [
        {"file": "a.json", "item": 3, "kind": "no-text", "reason": "why", "lost": "chunk"},
        {"file": "b.jsonl", "line": 2, "kind": "cut", "reason": "w", "lost": "file"},
    ]
    assert describe_finding(Finding("k", Place("f"), "r", "nothing")) == {
        "file": "f",
        "kind": "k",
        "reason": "r",
        "lost": "nothing",
    }


def test_keys_of_the_contract() -> None:
    wanted = (
        "collection timestamp model vector_dimension total_chunks unique_texts total_embeddings skipped "
        "truncated_chunks tokens_lost subdirectories devices batch_history oom_splits "
        "processing_time_minutes average_speed_chunks_per_sec tokens_per_sec padding_waste"
    )
    assert set(wanted.split()) <= set(build())
    assert {"files", "chunks", "tokens", "seconds"} <= set(build()["subdirectories"]["a"])


def test_no_time_at_all_divides_by_nothing() -> None:
    found = build(phases_seconds={})
    assert (found["average_speed_chunks_per_sec"], found["texts_per_sec"], found["tokens_per_sec"]) == (
        0,
        0,
        0,
    )


def test_batches_that_are_not_in_the_history_are_counted() -> None:
    work = EncodingWork(texts=7, tokens=40, padded_tokens=45, batches=2, history=[{"texts": 5}], splits=[])
    found = build(work=work)
    assert len(found["batch_history"]) == 1
    assert found["batch_history_omitted"] == 1
    assert found["batches"] == 2
