"""What a file is by its name: how its items are written, how it is compressed; opening it."""

from __future__ import annotations

import bz2
import gzip
import io
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast

from qembed.errors import UsageError

Form: TypeAlias = Literal["json", "lines", "csv", "tsv", "parquet", "arrow"]
Compression: TypeAlias = Literal["", "gz", "bz2", "zst"]

_FORMS: dict[str, Form] = {
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gz", ".bz2": "bz2", ".zst": "zst"}


class Kind(NamedTuple):
    """How a file is written, and the part of its name that does not say so."""

    form: Form
    compression: Compression
    stem: str


def kind_of(name: str) -> Kind | None:
    """The kind of a file by its name, in any case of letters; None where it holds no chunks."""
    compression: Compression = ""
    stem = name
    for suffix, kind in _COMPRESSIONS.items():
        if stem.lower().endswith(suffix):
            stem, compression = stem[: -len(suffix)], kind
    for suffix, form in _FORMS.items():
        if stem.lower().endswith(suffix) and (not compression or form not in ("parquet", "arrow")):
            return Kind(form, compression, stem[: -len(suffix)])
    return None


def open_binary(path: Path, compression: Compression) -> BinaryIO:
    """Open a file for reading, decompressed as it is read.

    Raises:
        OSError: It cannot be opened.
        UsageError: zstd without pyarrow.
    """
    if compression == "gz":
        return cast("BinaryIO", gzip.open(path))
    if compression == "bz2":
        return cast("BinaryIO", bz2.open(path))
    if compression == "zst":
        return cast("BinaryIO", io.BufferedReader(pyarrow().CompressedInputStream(path.open("rb"), "zstd")))
    return path.open("rb")


def pyarrow(*modules: str) -> Any:
    """The package, with some of its modules imported.

    Raises:
        UsageError: It is not installed.
    """
    try:
        for module in modules:
            import_module(f"pyarrow.{module}")
        return import_module("pyarrow")
    except ImportError:
        raise UsageError(
            "Parquet, Arrow and zstd need the package pyarrow, which is not installed",
            remedy="pip install pyarrow, or use JSON lines",
        ) from None
