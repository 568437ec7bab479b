"""That nothing is missing from files that were just written: checked on the disk, before publishing."""

from __future__ import annotations

from pathlib import Path

from qembed.corpus.files import pyarrow
from qembed.errors import QembedError
from qembed.store.formats import Format, format_of
from qembed.store.manifest import Output
from qembed.store.npy import IDS_SUFFIX, array_rows

_BLOCK_BYTES = 1 << 22


def check_complete(folder: Path, written: Output, expected: int) -> None:
    """Refuse files that do not hold every record that they should.

    Args:
        folder: Where the files are.
        written: What the run believes to have written.
        expected: Records that there must be: one per chunk that has not failed.

    Raises:
        QembedError: Records are missing, or are too many; nothing may be published.
    """
    found: dict[str, int] = {}
    for file in written.files:
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.bytes:
            raise _incomplete(f"{file.name} is not as large as what was written to it")
        found[file.name] = _records(path, written.format)
        if found[file.name] != file.records:
            raise _incomplete(f"{file.name} holds {found[file.name]:,} records of {file.records:,}")
    for suffix in (f".{written.format}", *([IDS_SUFFIX] if written.format == "npy" else [])):
        held = sum(count for name, count in found.items() if name.endswith(suffix))
        if not held == written.records == expected:
            raise _incomplete(f"{held:,} records were written, {expected:,} chunks have a vector")


def _records(path: Path, format: Format) -> int:
    if format == "parquet":
        metadata = pyarrow("parquet").parquet.read_metadata(path)
        return int(metadata.num_rows)
    if format == "npy" and format_of(path) == "npy":
        return array_rows(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))


def _incomplete(reason: str) -> QembedError:
    return QembedError(
        f"the output would be incomplete, so nothing is published: {reason}",
        remedy="run the same command again, it keeps what is finished; if this comes back, please report it",
    )
