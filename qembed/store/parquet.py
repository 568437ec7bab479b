"""Embeddings as Parquet: columns id, text, embedding (fixed-size list of float32), metadata (JSON string).

Files of other tools are read where their columns are called as in ``store.jsonl``; metadata may be a struct.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qembed.corpus.files import pyarrow
from qembed.corpus.tables import check_inflation
from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile
from qembed.store.jsonl import (
    METADATA_KEYS,
    VECTOR_KEYS,
    BadLine,
    BadRecordError,
    Record,
    load_json,
    record_of,
)

ROW_GROUP_BYTES = 1 << 25
"""32 MiB of vectors a row group; that much, and its texts, is held in memory while writing."""

_ROWS_A_BATCH = 512


class ParquetPart:
    """Writes one shard."""

    def __init__(self, folder: Path, stem: str, records: int, dimension: int) -> None:
        self._arrow = pa = pyarrow("compute", "parquet")
        vector = pa.list_(pa.field("element", pa.float32(), nullable=False), dimension)
        columns = {"id": pa.string(), "text": pa.string(), "embedding": vector, "metadata": pa.string()}
        self._schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])
        self._records = records
        self._group = max(1, ROW_GROUP_BYTES // (4 * dimension))
        self._batches: list[Any] = []
        self._waiting = 0
        self._file = _ArrowFile(folder / f"{stem}.parquet")
        self._writer = pa.parquet.ParquetWriter(
            self._file,
            self._schema,
            # Vectors are noise to a compressor; texts repeat themselves.
            compression={"embedding.list.element": "none", "id": "zstd", "text": "zstd", "metadata": "zstd"},
            use_dictionary=["text"],
            write_statistics=["id"],
            write_page_checksum=True,
        )

    def write(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> None:
        """The next records."""
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + self._group - self._waiting)
            block = slice(start, stop)
            self._batches.append(self._batch(ids[block], texts[block], vectors[block], metadatas[block]))
            self._waiting += stop - start
            start = stop
            if self._waiting == self._group:
                self._write_group()

    def _batch(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> Any:
        pa = self._arrow
        values = pa.array(vectors.reshape(-1).copy())  # the caller may use its memory again
        embedding = pa.FixedSizeListArray.from_arrays(values, type=self._schema.field("embedding").type)
        documents = [orjson.dumps(metadata).decode() for metadata in metadatas]
        arrays = [pa.array(ids, pa.string()), pa.array(texts, pa.string()), embedding, pa.array(documents)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _write_group(self) -> None:
        if self._batches:
            table = self._arrow.Table.from_batches(self._batches, self._schema)
            self._batches, self._waiting = [], 0
            self._writer.write_table(table, row_group_size=self._group)

    def close(self) -> tuple[OutputFile, ...]:
        """Finish the file."""
        self._write_group()
        self._writer.close()
        return (self._file.finish(self._records),)

    def abandon(self) -> None:
        """Leave it as it is."""
        self._writer.is_open = False  # or it would write the file's end when it is collected
        self._file.abandon()


class _ArrowFile(HashedFile):
    """The little that pyarrow asks of a file."""

    closed = False
    _abandoned = False

    def write(self, block: Any) -> int:
        """Hand over a block.

        After ``abandon`` nothing is done: Arrow's writer still writes the file's end when it is collected,
        which may be at any moment, even while this thread holds the lock that a new block needs.
        """
        return len(block) if self._abandoned else super().write(bytes(memoryview(block)))

    def abandon(self) -> None:
        """Close it as it is."""
        self._abandoned = True
        super().abandon()

    def flush(self) -> None:
        """Nothing waits here but the block that is being written."""

    def close(self) -> None:
        """``finish`` closes it."""


class ParquetRows:
    """The records of a Parquet file; some 500 rows are in memory.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrow = pyarrow("compute", "parquet")

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(0, record); a row is found again by its number alone."""
        self._path.open("rb").close()  # what the system refuses is not the file's fault
        number = 0
        try:
            with self._open() as file:
                check_inflation(self._path.name, file.metadata)
                for batch in file.iter_batches(_ROWS_A_BATCH):
                    for record in _records(self._arrow, batch, number):
                        number += 1
                        yield 0, record
        except (OSError, ValueError, self._arrow.ArrowException) as error:
            words = str(error).partition("\n")[0]
            reason = f"{self._path.name} cannot be read as Parquet from here on: {words}"
            yield 0, BadLine(number + 1, reason, "not-readable")

    def at(self, line: int, offset: int) -> Record | BadLine:
        """One record again."""
        del offset
        with self._open() as file:
            sizes = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]
            starts = [0, *accumulate(sizes)]
            group = bisect_right(starts, line - 1) - 1
            start = starts[group]
            for batch in file.iter_batches(_ROWS_A_BATCH, row_groups=[group]):
                if line - 1 < start + len(batch):
                    return next(_records(self._arrow, batch.slice(line - 1 - start, 1), line - 1))
                start += len(batch)
        return BadLine(line, "the row has gone", "not-readable")

    def _open(self) -> Any:
        return self._arrow.parquet.ParquetFile(
            self._path, memory_map=True, page_checksum_verification=True, pre_buffer=False
        )


def _records(pa: Any, batch: Any, before: int) -> Iterator[Record | BadLine]:
    """The records of a batch; ``before`` rows of the file stand before it."""
    name = next((key for key in VECTOR_KEYS if key in batch.schema.names), None)
    vectors = _vectors(pa, batch.column(name)) if name else [None] * len(batch)
    others = batch.drop_columns([name]) if name else batch
    for number, (value, vector) in enumerate(zip(others.to_pylist(), vectors, strict=True), before + 1):
        try:
            if vector is None:
                raise BadRecordError("no-vector", f"no vector: none of {', '.join(VECTOR_KEYS)} has numbers")
            yield record_of(_with_metadata(value), vector, number)
        except BadRecordError as error:
            yield BadLine(number, str(error), error.kind)


def _vectors(pa: Any, column: Any) -> list[Vectors | None]:
    types = pa.types
    lists = types.is_list(column.type) or types.is_large_list(column.type)
    if not (lists or types.is_fixed_size_list(column.type)):
        return [None] * len(column)
    kind = column.type.value_type
    if not (types.is_floating(kind) or types.is_integer(kind)):
        return [None] * len(column)
    lengths = pa.compute.fill_null(pa.compute.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # beyond float32: Inf, which every reader must check for anyway
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    parts = np.split(values, np.cumsum(lengths)[:-1])
    return [part if len(part) else None for part in parts]


def _with_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata as an object, where it is a string of JSON."""
    for key in METADATA_KEYS:
        if isinstance(value.get(key), str):
            try:
                return {**value, key: load_json(value[key].encode())}
            except orjson.JSONDecodeError as error:
                raise BadRecordError("not-json", f"{key} is not valid JSON: {error.msg}") from None
            except RecursionError:
                raise BadRecordError("not-json", f"{key} is nested too deeply") from None
    return value
