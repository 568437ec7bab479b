"""Rows of tables as items: CSV and TSV through pandas, Parquet and Arrow through pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qembed.corpus.files import Kind, open_binary, pyarrow

_ROWS_A_BLOCK = 512
_BLOCK_BYTES = 1 << 26
"""64 MiB of text are turned into Python objects at a time."""
_INFLATED_BYTES, _INFLATED_TIMES = 1 << 28, 100
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_FLOAT = re.compile(r"-?\d{1,15}\.\d{1,15}")
_VECTORS = ("embedding", "vector", "embeddings", "vectors", "values")


class BadTableError(ValueError):
    """A table cannot be read from here on."""


def rows_of(path: Path, kind: Kind) -> Iterator[dict[str, Any]]:
    """The rows of a table, as objects of its columns; values are Python's.

    Raises:
        BadTableError: The table cannot be read from here on.
        UsageError: pyarrow is not installed.
        OSError: The file cannot be opened.
    """
    if kind.form in ("csv", "tsv"):
        return _text_rows(path, kind)
    return _arrow_rows(path, kind.form)


def check_inflation(name: str, metadata: Any) -> None:
    """Refuse a Parquet file of which a small part would fill the memory.

    Args:
        name: Name of the file.
        metadata: ``pyarrow.parquet.FileMetaData``.

    Raises:
        BadTableError: A row group becomes 100 times as large, and more than 256 MiB.
    """
    for at in range(metadata.num_row_groups):
        group = metadata.row_group(at)
        small = sum(group.column(each).total_compressed_size for each in range(group.num_columns))
        large = group.total_byte_size
        if large > _INFLATED_BYTES and large > _INFLATED_TIMES * small:
            raise BadTableError(
                f"row group {at} of {name} grows from {small / 1e6:,.1f} MB to {large / 1e6:,.0f} MB; "
                "write the file again in smaller row groups (row_group_size=10000)"
            )


def _text_rows(path: Path, kind: Kind) -> Iterator[dict[str, Any]]:
    import pandas as pd

    separator = "," if kind.form == "csv" else "\t"
    with open_binary(path, kind.compression) as file:
        try:
            blocks = pd.read_csv(
                file, sep=separator, dtype=str, keep_default_na=False, chunksize=_ROWS_A_BLOCK,
                encoding="utf-8-sig", low_memory=True,
            )  # fmt: skip
            for block in blocks:
                names = [str(name) for name in block.columns]
                for values in block.itertuples(index=False, name=None):
                    cells = zip(names, values, strict=True)
                    yield {name: _cell(value) for name, value in cells if isinstance(value, str)}
        except (ValueError, EOFError) as error:  # pandas' ParserError, bytes that are not UTF-8
            raise BadTableError(" ".join(str(error).split())) from None


def _cell(text: str) -> Any:
    """A number where the cell is exactly how that number is written; else the text."""
    if _INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _arrow_rows(path: Path, form: str) -> Iterator[dict[str, Any]]:
    pa = pyarrow("compute", "parquet", "ipc", "dataset")
    path.open("rb").close()  # what the system refuses is not the file's fault
    try:
        batches = _parquet_batches(pa, path) if form == "parquet" else _ipc_batches(pa, path)
        for batch in batches:
            names = batch.schema.names
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise BadTableError(f"two columns are called {repeated[0]!r}")
            unwanted = [name for name in names if _is_vector(pa, batch, name) or name.startswith("__index_")]
            yield from _objects(pa, batch.drop_columns(unwanted) if unwanted else batch)
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, BadTableError):
            raise
        raise BadTableError(str(error).partition("\n")[0]) from None


def _parquet_batches(pa: Any, path: Path) -> Iterator[Any]:
    with pa.parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        check_inflation(path.name, file.metadata)
        schema = file.schema_arrow
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
    with pa.parquet.ParquetFile(path, memory_map=True, pre_buffer=False, read_dictionary=texts) as file:
        yield from file.iter_batches(_ROWS_A_BLOCK)


def _ipc_batches(pa: Any, path: Path) -> Iterator[Any]:
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_stream(source)  # as datasets.save_to_disk writes
            yield from reader
            return
        except pa.ArrowInvalid:
            source.seek(0)
        reader = pa.ipc.open_file(source)  # feather
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


def _objects(pa: Any, batch: Any) -> Iterator[dict[str, Any]]:
    """Rows as Python objects; few at a time where texts are long, for a dictionary may repeat them."""
    longest = max(map(_longest(pa), batch.columns), default=0)
    step = max(1, min(_ROWS_A_BLOCK, _BLOCK_BYTES // max(1, longest)))
    for start in range(0, len(batch), step):
        part = batch.slice(start, step)
        yield from objects_of(pa, part)


def objects_of(pa: Any, batch: Any) -> list[dict[str, Any]]:
    """The rows of an Arrow batch as objects, maps too, which Arrow itself gives as pairs."""
    rows: list[dict[str, Any]] = batch.to_pylist()
    if not any("map<" in str(field.type) for field in batch.schema):
        return rows
    maps = [field.name for field in batch.schema if pa.types.is_map(field.type)]
    for row in rows:
        row.update((name, dict(row[name])) for name in maps if row[name] is not None)
    return [{name: _without_pairs(value) for name, value in row.items()} for row in rows]


def _without_pairs(value: Any) -> Any:
    """A value without lists of pairs: Arrow has tuples nowhere else."""
    if isinstance(value, dict):
        return {key: _without_pairs(inner) for key, inner in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return {key: _without_pairs(inner) for key, inner in value}
        return [_without_pairs(inner) for inner in value]
    return value


def _longest(pa: Any) -> Any:
    def bytes_of(column: Any) -> int:
        values = column.dictionary if pa.types.is_dictionary(column.type) else column
        kind = values.type
        if not len(values) or not (
            pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
        ):
            return 0
        return int(pa.compute.max(pa.compute.binary_length(values)).as_py() or 0)

    return bytes_of


def _is_vector(pa: Any, batch: Any, name: str) -> bool:
    kind = batch.schema.field(name).type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return name in _VECTORS and lists
