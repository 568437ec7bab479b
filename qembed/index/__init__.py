"""Where vectors are searched: one small Protocol; in-memory Qdrant, embedded Qdrant (edge), exact."""

from __future__ import annotations

from qembed.index.choose import IndexKind, IndexName, choose_index, make_index
from qembed.index.edge import EdgeIndex, EdgeOptions
from qembed.index.exact import ExactIndex
from qembed.index.filters import Condition, matches, parse_condition
from qembed.index.memory import MemoryIndex
from qembed.index.protocol import Hit, Index, Point
from qembed.index.recall import ann_recall

__all__ = [
    "Condition",
    "EdgeIndex",
    "EdgeOptions",
    "ExactIndex",
    "Hit",
    "Index",
    "IndexKind",
    "IndexName",
    "MemoryIndex",
    "Point",
    "ann_recall",
    "choose_index",
    "make_index",
    "matches",
    "parse_condition",
]
