"""Readers against invented and damaged files: no crash, no hang, no silent loss.

What a reader may do: return, report a finding, or raise a ``QembedError``. ``make fuzz`` runs these with
thousands of examples; the ordinary tests run a few.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.commands.evalset.judgement_file import read_judgements
from qembed.corpus import CorpusOptions, read_chunks
from qembed.corpus.layouts import TEXT_KEYS
from qembed.errors import QembedError
from qembed.evaluation.eval_sets.beir import read_qrels, read_queries
from qembed.evaluation.eval_sets.card import read_card
from qembed.evaluation.eval_sets.runs import read_run
from qembed.records import Finding, Place
from qembed.store import BadLine, find_embeddings, open_writer, read_journal, read_manifest, read_records
from qembed.store.cache import VectorCache
from qembed.store.formats import rows
from qembed.store.json_points import is_document
from qembed.store.work import MARKER

KEYS = st.sampled_from(
    [*TEXT_KEYS, "id", "_id", "metadata", "meta", "payload", "vector", "embedding", "chunks", "documents",
     "ids", "hits", "result", "points", "_source", "kwargs", "lc", "docstore/data", "__data__", "columns",
     "data", "text_resource", "$oid", "$date", "query-id", "corpus-id", "score", "_node_content"]
) | st.text(max_size=4)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "{", '{"text": 1}', "[1, 2]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".json.gz", ".jsonl.bz2", ".csv.zst")
Damage = Callable[[bytes], bytes]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Flip a bit, cut the end, drop or double a piece, or fill with zeros."""
    kind = draw(st.sampled_from(["flip", "cut", "drop", "double", "zero"]))
    where, much = draw(st.floats(0, 1)), draw(st.integers(1, 40))

    def damage(content: bytes) -> bytes:
        at = int(where * max(0, len(content) - 1))
        piece = content[at : at + much]
        if kind == "flip" and content:
            return content[:at] + bytes([content[at] ^ (1 << much % 8)]) + content[at + 1 :]
        ends = {"cut": b"", "drop": content[at + much :], "double": piece + content[at:]}
        return content[:at] + ends.get(kind, bytes(len(piece)) + content[at + much :])

    return damage


def chunks_of(root: Path, **options: Any) -> tuple[int, list[Finding]]:
    """How many chunks are read, and what is found; a refusal counts as a finding."""
    found: list[Finding] = []
    count = 0
    try:
        for _ in read_chunks(root, CorpusOptions("c", **options), on_finding=found.append):
            count += 1
    except QembedError as error:
        found.append(Finding("refused", Place(str(root)), error.message))
    return count, found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(value=VALUES, suffix=st.sampled_from((".json", ".jsonl")), own=st.booleans())
def test_any_json_as_chunks(folder: Path, value: Any, suffix: str, own: bool) -> None:
    file = folder / f"any{suffix}"
    file.write_bytes(json.dumps(value).encode("utf-8", "surrogatepass"))
    count, found = chunks_of(file, id_from="own" if own else "filename")
    assert count or found or value in ({}, []) or _empty(value)


def _empty(value: Any) -> bool:
    """A list of no items under one of the usual keys is read as no chunks."""
    return isinstance(value, dict) and any(inner in ([], {}) or _empty(inner) for inner in value.values())


@given(items=st.lists(VALUES, max_size=6))
def test_every_item_is_a_chunk_or_a_finding(folder: Path, items: list[Any]) -> None:
    file = folder / "items.jsonl"
    file.write_text(
        "".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8", errors="surrogatepass"
    )
    if items:
        count, found = chunks_of(file)
        assert count + sum(one.lost == "chunk" for one in found) == len(items)


@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_as_chunks(folder: Path, content: bytes, suffix: str) -> None:
    file = folder / f"bytes{suffix}"
    file.write_bytes(content)
    chunks_of(file)


@pytest.fixture(scope="module")
def sound(folder: Path) -> dict[str, bytes]:
    """Sound files of every form."""
    rows = [{"id": f"n{at}", "text": f"text {at}", "page": at} for at in range(8)]
    made = {
        ".json": json.dumps(rows).encode(),
        ".jsonl": "".join(f"{json.dumps(row)}\n" for row in rows).encode(),
        ".csv": "\n".join(["id,text", *(f"n{at},text {at}" for at in range(8))]).encode(),
    }
    made[".jsonl.gz"] = gzip.compress(made[".jsonl"])
    return made


@given(data=st.data(), damage=damages())
def test_damaged_chunks_are_read_or_named(
    folder: Path, sound: dict[str, bytes], data: Any, damage: Damage
) -> None:
    suffix = data.draw(st.sampled_from(sorted(sound)))
    file = folder / f"damaged{suffix}"
    file.write_bytes(damage(sound[suffix]))
    count, found = chunks_of(file)
    assert count <= 16
    assert count or found


@pytest.fixture(scope="module")
def sets(folder: Path) -> list[Path]:
    """Embeddings in every format."""
    made = []
    for format in ("jsonl", "npy", "parquet"):
        if format == "parquet":
            pytest.importorskip("pyarrow")
        place = folder / format
        place.mkdir()
        names = [f"n{at}" for at in range(6)]
        with open_writer(format, place, "c", dimension=4, records=6) as writer:  # type: ignore[arg-type]
            writer.add(names, names, np.ones((6, 4), np.float32), [{"page": 1}] * 6)
            writer.close()
        made.append(place)
    return made


@given(data=st.data(), damage=damages())
def test_damaged_embeddings_are_read_or_named(
    folder: Path, sets: list[Path], data: Any, damage: Damage
) -> None:
    place = data.draw(st.sampled_from(sets))
    files = sorted(path for path in place.iterdir() if path.is_file())
    victim = data.draw(st.sampled_from(files))
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    for old in copy.iterdir():
        old.unlink()
    for path in files:
        content = path.read_bytes()
        (copy / path.name).write_bytes(damage(content) if path == victim else content)
    try:
        records = [each for part in find_embeddings(copy).parts for each in read_records(part)]
    except QembedError:
        return
    assert len([each for each in records if not isinstance(each, BadLine)]) <= 12
    for each in records:
        assert isinstance(each, BadLine) or each.vector.dtype == np.float32


@given(damage=damages(), indent=st.sampled_from([None, 1]), pages=st.booleans())
def test_a_damaged_export_is_read_or_named(
    folder: Path, damage: Damage, indent: int | None, pages: bool
) -> None:
    points = [{"id": at, "payload": {"text": 'a "}"'}, "vector": [1.0, at]} for at in range(6)]
    whole = [{"result": {"points": part, "next_page_offset": None}} for part in (points[:3], points[3:])]
    file = folder / "export.json"
    file.write_bytes(damage(json.dumps(whole if pages else points, indent=indent).encode()))
    found = list(read_records(file))
    assert found or not file.read_bytes().strip()
    assert len([each for each in found if not isinstance(each, BadLine)]) <= 12
    reader = rows(file, "json") if is_document(file) else None
    for offset, record in reader or ():
        if not isinstance(record, BadLine):
            again = reader.at(record.line, offset)
            assert not isinstance(again, BadLine)
            assert again.id == record.id


@given(value=VALUES)
def test_any_json_as_embeddings(folder: Path, value: Any) -> None:
    file = folder / "any_embeddings.jsonl"
    file.write_bytes(json.dumps(value).encode("utf-8", "surrogatepass"))
    found = list(read_records(file))
    assert found
    assert len(found) == 1 or is_document(file)  # a list of objects holds one record each


WORDS = st.text(st.characters(codec="utf-8"), max_size=80).map(str.encode)


@given(content=st.binary(max_size=120) | WORDS)
def test_any_bytes_as_an_eval_set(folder: Path, content: bytes) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "q.tsv": read_queries,
        "queries.jsonl": read_queries,
        "r.tsv": read_qrels,
        "r.txt": read_qrels,
        "run.trec": read_run,
        "j.tsv": read_judgements,
    }
    for name, reader in readers.items():
        file = folder / name
        file.write_bytes(content)
        with suppress(QembedError):
            reader(file)
    (folder / "card.toml").write_bytes(content)
    with suppress(QembedError):
        read_card(folder)


@given(value=VALUES, content=st.binary(max_size=60), damage=damages())
def test_any_work_folder_manifest_and_cache(folder: Path, value: Any, content: bytes, damage: Damage) -> None:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / MARKER).touch()
    written = json.dumps(value).encode("utf-8", "surrogatepass")
    for said in (written, content, damage(b'{"inputs": "x", "texts": 1, "identity": {}, "plan": {}}')):
        (work / "journal.json").write_bytes(said)
        read_journal(work)
        (work / "manifest.json").write_bytes(said)
        with suppress(QembedError):
            read_manifest(work / "manifest.json")
    cache = VectorCache(folder / "cache", {"model": "m"}, 2)
    digests = np.frombuffer(b"0123456789abcdef", "V16")
    cache.add(digests, np.ones((1, 2), np.float32))
    for file in cache.folder.iterdir():
        if file.name != "identity.json":
            file.write_bytes(damage(file.read_bytes()))
    found, _ = VectorCache(folder / "cache", {"model": "m"}, 2).lookup(digests)
    if len(found):
        again = VectorCache(folder / "cache", {"model": "m"}, 2)
        assert (again.read(again.lookup(digests)[1]) == 1).all()
    for file in cache.folder.iterdir():
        file.unlink()
