"""Files that were just written hold every record, or nothing is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qembed.errors import Mismatch, QembedError
from qembed.store import Inputs, Manifest, Output, OutputFiles, find_embeddings, manifest_of, write_json
from qembed.store.complete import check_complete
from qembed.store.writing import open_writer

each_set = pytest.mark.parametrize(
    ("format", "shards"), [(format, shards) for format in ("jsonl", "npy", "parquet") for shards in (None, 2)]
)


def written(folder: Path, format: Any, shards: int | None, records: int = 5) -> Output:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    folder.mkdir(exist_ok=True)
    with open_writer(format, folder, "c", dimension=4, records=records, shard_records=shards) as writer:
        names = [f"n{at}" for at in range(records)]
        writer.add(names, names, np.ones((records, 4), np.float32), [{}] * records)
        files = writer.close()
    return Output.of(files, format=format, chunks_fingerprint="", records=records, dimension=4)


@each_set
def test_whole(tmp_path: Path, format: Any, shards: int | None) -> None:
    check_complete(tmp_path, written(tmp_path, format, shards), expected=5)


@each_set
def test_no_record_at_all(tmp_path: Path, format: Any, shards: int | None) -> None:
    check_complete(tmp_path, written(tmp_path, format, shards, records=0), expected=0)


@each_set
def test_fewer_than_there_should_be(tmp_path: Path, format: Any, shards: int | None) -> None:
    output = written(tmp_path, format, shards)
    with pytest.raises(QembedError, match="5 records were written, 6 chunks have a vector") as caught:
        check_complete(tmp_path, output, expected=6)
    assert "run the same command again" in str(caught.value.remedy)


@each_set
def test_each_file_is_looked_at(tmp_path: Path, format: Any, shards: int | None) -> None:
    output = written(tmp_path, format, shards)
    for file in output.files:
        path = tmp_path / file.name
        content = path.read_bytes()
        path.write_bytes(content[:-2])
        with pytest.raises(QembedError, match="is not as large as what was written"):
            check_complete(tmp_path, output, expected=5)
        path.unlink()
        with pytest.raises(QembedError, match="is not as large"):
            check_complete(tmp_path, output, expected=5)
        path.write_bytes(content)


def test_a_file_of_the_right_size_with_too_few_records(tmp_path: Path) -> None:
    for format in ("jsonl", "npy"):
        output = written(tmp_path / format, format, None)
        path = tmp_path / format / output.files[-1].name
        path.write_bytes(path.read_bytes().replace(b"\n", b" ", 1))
        with pytest.raises(QembedError, match=r"holds 4 records of 5"):
            check_complete(tmp_path / format, output, expected=5)
    output = written(tmp_path / "npy", "npy", None)
    array = tmp_path / "npy" / output.files[0].name
    array.write_bytes(array.read_bytes().replace(b"(5, 4)", b"(6, 4)"))
    with pytest.raises(QembedError, match=r"holds -1 records"):
        check_complete(tmp_path / "npy", output, expected=5)


class TestManifestOf:
    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Manifest:
        output = written(tmp_path, "jsonl", 2)
        manifest = Manifest("c", "now", Inputs("x", "f", 5, 5), output, {}, {}, {})
        write_json(OutputFiles.in_folder(tmp_path, "c").manifest, manifest)
        return manifest

    def test_of_these_files(self, tmp_path: Path, manifest: Manifest) -> None:
        assert manifest_of(find_embeddings(tmp_path)) == manifest

    def test_none(self, tmp_path: Path) -> None:
        written(tmp_path, "jsonl", None)
        assert manifest_of(find_embeddings(tmp_path)) is None

    def test_of_other_files(self, tmp_path: Path, manifest: Manifest) -> None:
        """A set of which one shard was copied from another run."""
        shard = tmp_path / manifest.output.files[1].name
        shard.write_bytes(shard.read_bytes() + b"\n")
        with pytest.raises(Mismatch, match=f"{shard.name} is .* recorded are") as caught:
            manifest_of(find_embeddings(tmp_path))
        assert "qembed audit" in str(caught.value.remedy)

    def test_of_fewer_shards(self, tmp_path: Path, manifest: Manifest) -> None:
        files = (replace(manifest.output.files[0], name="c_embeddings.jsonl"), *manifest.output.files[1:])
        other = replace(manifest, output=replace(manifest.output, files=files))
        write_json(OutputFiles.in_folder(tmp_path, "c").manifest, other)
        with pytest.raises(Mismatch, match=r"c_embeddings\.jsonl is absent"):
            manifest_of(find_embeddings(tmp_path))
