"""Where vectors are searched: one small Protocol, and in-memory Qdrant behind it."""

from __future__ import annotations

from qembed.index.filters import Condition, parse_condition
from qembed.index.memory import MemoryIndex
from qembed.index.protocol import Hit, Index, Point

__all__ = ["Condition", "Hit", "Index", "MemoryIndex", "Point", "parse_condition"]
