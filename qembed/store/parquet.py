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
from qembed.corpus.tables import check_inflation, objects_of
from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile
from qembed.store.jsonl import BadLine, Record, record_of, without_vectors
from qembed.store.keys import (
    ID_KEYS,
    METADATA_KEYS,
    TEXT_KEYS,
    USUAL,
    VECTOR_KEYS,
    BadRecordError,
    Keys,
    chosen,
    only,
)

ROW_GROUP_BYTES = 1 << 25
"""32 MiB of vectors a row group; that much, and its texts, is held in memory while writing."""

_ROWS_A_BATCH = 512
_VECTOR_PREFIX, _PAYLOAD_PREFIX = "vector.", "payload."
"""Beginnings of the names of columns, where an exporter made one of each vector and key."""
_OWN_COLUMNS = frozenset((ID_KEYS[0], *TEXT_KEYS))


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

    def __init__(self, path: Path, keys: Keys = USUAL) -> None:
        self._path, self._keys = path, keys
        self._arrow = pyarrow("compute", "parquet")

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(0, record); a row is found again by its number alone."""
        self._path.open("rb").close()  # what the system refuses is not the file's fault
        number = 0
        try:
            with self._open() as file:
                check_inflation(self._path.name, file.metadata)
                for batch in file.iter_batches(_ROWS_A_BATCH):
                    for record in _records(self._arrow, batch, number, self._keys):
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
                    row = batch.slice(line - 1 - start, 1)
                    return next(_records(self._arrow, row, line - 1, self._keys))
                start += len(batch)
        return BadLine(line, "the row has gone", "not-readable")

    def _open(self) -> Any:
        return self._arrow.parquet.ParquetFile(
            self._path, memory_map=True, page_checksum_verification=True, pre_buffer=False
        )


def _records(pa: Any, batch: Any, before: int, keys: Keys) -> Iterator[Record | BadLine]:
    """The records of a batch; ``before`` rows of the file stand before it."""
    columns: list[str] = []
    vectors: Sequence[Vectors | None] = [None] * len(batch)
    key, why = "", None
    try:
        columns, key, column = _vector_column(pa, batch, keys)
        vectors = _vectors(pa, column)
    except BadRecordError as error:
        why = error
    others = objects_of(pa, batch.drop_columns(columns))
    for number, (value, vector) in enumerate(zip(others, vectors, strict=True), before + 1):
        try:
            if vector is None:
                raise why or _no_vector(value)
            yield record_of(_with_metadata(value), vector, number, keys, key)
        except BadRecordError as error:
            yield BadLine(number, str(error), error.kind)


def _no_vector(value: dict[str, Any]) -> BadRecordError:
    reason = f"no vector: none of {', '.join(VECTOR_KEYS)} has numbers{without_vectors(value)}"
    return BadRecordError("no-vector", reason)


def _vector_column(pa: Any, batch: Any, keys: Keys) -> tuple[list[str], str, Any]:
    """The columns that hold vectors, where the wanted one is, and that one.

    Named vectors are a struct with a field for each, or columns ``vector.NAME``.

    Raises:
        BadRecordError: There is none, or not the one that is wanted.
    """
    names: list[str] = batch.schema.names
    key = next((key for key in VECTOR_KEYS if key in names), None)
    if key is not None:
        column = batch.column(key)
        if not pa.types.is_struct(column.type):
            return [key], key, only(_shown(pa, column), keys)
        fields = [field.name for field in column.type]
        named = dict(zip(fields, column.flatten(), strict=True))
        columns = [key]
    else:
        key = "vector"
        columns = [name for name in names if name.startswith(_VECTOR_PREFIX)]
        if not columns:
            raise _no_vector(dict.fromkeys(names))
        named = {name.removeprefix(_VECTOR_PREFIX): batch.column(name) for name in columns}
    name, column = chosen({name: _shown(pa, column) for name, column in named.items()}, keys)
    return columns, f"{key}.{name}" if name else key, column


def _shown(pa: Any, column: Any) -> Any:
    """A column as ``keys.chosen`` tells vectors apart: an object is sparse, a list of lists a multivector."""
    if pa.types.is_struct(column.type):
        return {}
    inner = getattr(column.type, "value_type", None)
    return [[]] if inner is not None and _is_list(pa, inner) else column


def _is_list(pa: Any, kind: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _vectors(pa: Any, column: Any) -> list[Vectors | None]:
    if not _is_list(pa, column.type):
        return [None] * len(column)
    types, kind = pa.types, column.type.value_type
    if not (types.is_floating(kind) or types.is_integer(kind)):
        return [None] * len(column)
    lengths = pa.compute.fill_null(pa.compute.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # beyond float32: Inf, which every reader must check for anyway
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    parts = np.split(values, np.cumsum(lengths)[:-1])
    return [part if len(part) else None for part in parts]


def _with_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata as an object where its keys are columns of their own: ``payload.KEY``, or the bare key."""
    if any(key in value for key in METADATA_KEYS):
        return value
    flat = {
        name.removeprefix(_PAYLOAD_PREFIX): held
        for name, held in value.items()
        if held is not None and name not in _OWN_COLUMNS
    }
    return {**value, "payload": flat}
