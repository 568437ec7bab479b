"""The words of qembed as types: what a chunk is, where it came from, what was found wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Vectors: TypeAlias = npt.NDArray[np.float32]
"""float32, shape (texts, dimension); one row per text."""

Lengths: TypeAlias = npt.NDArray[np.int64]
"""int64, shape (texts,); tokens of each text, special tokens and prompt included."""

Qrels: TypeAlias = dict[str, dict[str, int]]
"""Query id -> item id -> relevance (a grade; 0 is judged and not relevant). Items are chunks or pages."""

Run: TypeAlias = dict[str, dict[str, float]]
"""Query id -> item id -> score, higher is better; its order is that of ``evaluation.ordering.ranked``."""

REQUIRED_METADATA: Final = (
    "collection",
    "subdirectory",
    "source_file",
    "source_path",
    "source",
    "filename",
    "chunk_index",
    "content_sha256",
    "token_count",
)
"""Keys that every written record has in its metadata; ``qembed audit`` checks them."""


SUMMARY_SUFFIX: Final = "_embedding_summary.json"
MANIFEST_SUFFIX: Final = "_embedding_manifest.json"
OWN_OUTPUT: Final = re.compile(
    rf".*(_embeddings(-\d{{5,}}-of-\d{{5,}})?((\.ids)?\.jsonl|\.parquet|\.npy)|{SUMMARY_SUFFIX}|{MANIFEST_SUFFIX})"
)
"""Names of what ``qembed embed`` writes; never read as chunk files of a folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was read.

    Attributes:
        path: The file, relative to the collection's root (or as given).
        item: Position in the file's list of chunks, from 0.
        line: Line of the file, from 1.
    """

    path: str
    item: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.line is not None:
            return f"{self.path}, line {self.line}"
        if self.item is not None:
            return f"{self.path}, item {self.item}"
        return self.path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the data; the run continues without the part that is wrong.

    Attributes:
        kind: A short, stable name in kebab case, e.g. ``truncated-json``.
        place: File, with line or item.
        reason: What is wrong, in words.
        lost: What is skipped because of it: ``folder``, ``file``, ``rest of file``, ``chunk`` or ``nothing``.
    """

    kind: str
    place: Place
    reason: str
    lost: str = "chunk"

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}: {self.reason}"


OnFinding: TypeAlias = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One unit of retrievable text.

    Attributes:
        id: ``{collection}:{subdirectory}:{filename}:chunk:{index}``, or the one that the item brings.
        text: What is embedded; valid Unicode, not blank.
        metadata: Every original key, completed as the contract says (``corpus.metadata``).
        place: Where it was read.
    """

    id: str
    text: str
    metadata: dict[str, Any]
    place: Place
