"""Points in JSON documents, as Qdrant answers a scroll, read one by one in bounded memory.

    {"result": {"points": [...], "next_page_offset": ...}, "status": "ok"}   one page
    [page, page, ...], or one page after the other                              many pages
    [{"id": ..., "vector": ..., "payload": ...}, ...]                          a list of points

Also ``{"points": [...]}`` and ``{"result": [...]}``, what a Python client writes of its own answer
(``[[...], null]``), and points that are written over several lines. The file is mapped: only brackets and
strings are looked at to find where a point begins and ends, so that each can be read again from its place.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qembed.store.jsonl import UTF8_BOM, BadLine, Record, parse_line
from qembed.store.keys import USUAL, Keys

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{}]', re.DOTALL)
_LIST_BEGINS = re.compile(rb"\[\s*[\[{\]]")
_ON_THE_WAY = (b'"result"', b'"points"')
"""Keys of an answer that lead to its points."""
_HEAD_BYTES = 1 << 16

_NEXT_PAGE = re.compile(rb'"next_page_offset"\s*:\s*(\d+|"[^"]*")')
_NEXT_OF_A_PAIR = re.compile(rb'\]\s*,\s*(\d+|"[^"]*")\s*\]\s*\Z')

_CLOSES = {b"[": b"]", b"{": b"}"}


class JsonPoints:
    """The points of a file of JSON documents."""

    def __init__(self, path: Path, keys: Keys = USUAL) -> None:
        self._path, self._keys = path, keys

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(offset in bytes, record); numbered from 1 in their order."""
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            number = end = 0
            try:
                for number, (start, end) in enumerate(spans(data), start=1):
                    yield start, parse_line(data[start:end], number, self._keys)
            except _BrokenError as error:
                yield end, BadLine(number + 1, str(error), error.kind)
            else:
                if not number:
                    reason = "JSON, but no points: neither a list of objects nor result.points"
                    yield 0, BadLine(1, reason, "not-an-object")

    def at(self, line: int, offset: int) -> Record | BadLine:
        """A record again, by its number from 1 and its offset."""
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start, end = next(spans(data, offset))
            return parse_line(data[start:end], line, self._keys)


class _BrokenError(ValueError):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def is_document(path: Path) -> bool:
    """Whether a file is JSON documents with points in them, and not one record per line; by its beginning."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(UTF8_BOM).lstrip()
    if head.startswith(b"["):
        return _LIST_BEGINS.match(head) is not None
    if not head.startswith(b"{"):
        return False
    if not head.partition(b"\n")[0].strip(b"{ \t\r"):
        return True  # an object that goes over several lines
    depth, key = 0, b""
    for token in (found[0] for found in _TOKEN.finditer(head)):
        if token in b"[{":
            if depth == 1 and key in _ON_THE_WAY:
                return True
            depth += 1
        elif token in b"]}":
            depth -= 1
            if not depth:
                return False
        elif depth == 1:
            key = token
    return False


def next_page(path: Path) -> str | None:
    """The point with which the page begins that a scroll would give next; None where the last page is there.

    Such a file lacks the rest of the collection: without a limit, a server gives ten points.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        last = data.rfind(b'"next_page_offset"')
        found = _NEXT_PAGE.match(data, last) if last >= 0 else None
        found = found or (_NEXT_OF_A_PAIR.search(data, max(0, len(data) - 200)) if last < 0 else None)
        return found[1].decode().strip('"') if found else None


@dataclass(slots=True)
class _Open:
    """A list or an object that has begun.

    Attributes:
        closes: Its closing bracket.
        at: Where it begins.
        kind: ``list`` of records or answers, an ``object`` that is one of these, or what lies ``within`` a
            record and does not matter.
        answer: Whether the records have been found within this object, which is an answer then.
    """

    closes: bytes
    at: int
    kind: str
    answer: bool = False


def spans(data: mmap.mmap | bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where each record begins and ends.

    Args:
        data: The file.
        start: Where to begin: at 0, or at a record.

    Raises:
        _BrokenError: The document ends within a list or an object, or its brackets do not match.
    """
    holders: list[_Open] = []
    key = b""
    for found in _TOKEN.finditer(data, start):
        token = found[0]
        if token in _CLOSES:
            holder = holders[-1] if holders else None
            kind = _kind(token, holder, key)
            if holder is not None and holder.kind == "object" and kind != "within":
                holder.answer = True
            holders.append(_Open(_CLOSES[token], found.start(), kind))
        elif token in (b"]", b"}"):
            if not holders or holders[-1].closes != token:
                raise _BrokenError(
                    "not-json", f"not valid JSON: {token.decode()!r} at byte {found.start():,}"
                )
            ended = holders.pop()
            if ended.kind == "object" and not ended.answer:
                yield ended.at, found.end()
        elif not holders or holders[-1].kind == "object":
            key = token
    if holders:
        raise _BrokenError("cut-off", "the document ends within a list or an object: it was cut off")


def _kind(token: bytes, holder: _Open | None, key: bytes) -> str:
    """What an opening bracket begins."""
    on_the_way = holder is None or holder.kind == "list" or (holder.kind == "object" and key in _ON_THE_WAY)
    if not on_the_way:
        return "within"
    return "list" if token == b"[" else "object"
