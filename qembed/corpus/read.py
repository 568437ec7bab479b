"""The items of one chunk file, in order; what cannot be read becomes a finding, and reading continues."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, BinaryIO, NamedTuple

import orjson

from qembed.corpus.json_stream import JsonBreakError, JsonStream, loads, not_utf8
from qembed.corpus.walk import ROOT, ChunkFile, no_file
from qembed.records import Finding, OnFinding, Place

FAST_PATH_BYTES = 1 << 25
"""Files up to 32 MiB are parsed whole by orjson; larger or broken ones go through ``JsonStream``."""

MAX_LINE_BYTES = 1 << 26
_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_MORE = "more text after the end of the JSON document (one object a line? name it .jsonl)"
_EXPECTED = "expected a list of chunks, or an object with a list 'chunks'"


class Read(NamedTuple):
    """One item with its position in the file (from 0) and, in JSON lines, its line (from 1)."""

    value: Any
    position: int
    line: int | None


@dataclass
class FileReader:
    """Reads one file.

    Attributes:
        file: What to read.
        on_finding: Called with everything that is wrong.
        header: Keys beside ``chunks`` in a file that is an object; filled while reading.
    """

    file: ChunkFile
    on_finding: OnFinding
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def subdirectory(self) -> str:
        """What the file itself says that it belongs to; ``root`` where it says nothing that can be a name."""
        name = self.header.get("subdirectory")
        if not isinstance(name, str) or _SURROGATE.search(name):
            return ROOT
        return name.replace("\\", "/").strip(" /") or ROOT

    def items(self) -> Iterator[Read]:
        """The items of the file, in order."""
        try:
            size_bytes = self.file.path.stat().st_size
            if kind := no_file(self.file.path):
                self._find("unreadable-file", f"{kind}, not a file", lost="file")
            elif size_bytes == 0:
                self._find("empty-file", "the file has no bytes", lost="file")
            elif self.file.path.suffix == ".jsonl":
                yield from self._lines()
            elif size_bytes <= FAST_PATH_BYTES:
                yield from self._whole()
            else:
                yield from self._streamed()
        except OSError as error:
            self._find("unreadable-file", error.strerror or str(error), lost="file")

    def _whole(self) -> Iterator[Read]:
        data = self.file.path.read_bytes()
        try:
            document = orjson.loads(data.removeprefix(_UTF8_BOM))
        except orjson.JSONDecodeError:
            yield from self._streamed()
            return
        if isinstance(document, dict) and isinstance(document.get("chunks"), list):
            chunks = document.pop("chunks")
            self.header.update(document)
        elif isinstance(document, list):
            chunks = document
        else:
            self._find("not-a-list", _EXPECTED, lost="file")
            return
        del data, document
        for position, value in enumerate(chunks):
            yield Read(value, position, None)
        self._check_count(len(chunks))

    def _streamed(self) -> Iterator[Read]:
        count = 0
        with self.file.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            stream = JsonStream(text)
            try:
                for value in self._document(stream):
                    if stream.bad_byte is None:
                        yield Read(value, count, None)
                    else:
                        self._find("wrong-encoding", not_utf8(stream.bad_byte), item=count)
                    count += 1
            except JsonBreakError as error:
                items = "the item" if count == 1 else f"the {count:,} items"
                kept = f"{items} before it stayed" if count else "nothing before it could be read"
                lost = "rest of file" if count else "file"
                self._find(error.kind, f"{error}; {kept}", line=error.line, lost=lost)
            else:
                self._check_count(count)

    def _document(self, stream: JsonStream) -> Iterator[Any]:
        opening = stream.peek()
        if opening == "[":
            yield from stream.items()
        elif opening == "{":
            yield from self._members(stream)
        else:
            stream.value()
            self._find("not-a-list", _EXPECTED, lost="file")
            return
        if stream.peek():
            raise JsonBreakError("invalid-json", _MORE, stream.line)

    def _members(self, stream: JsonStream) -> Iterator[Any]:
        found = False
        closing = stream.expect("{")
        while closing != "}":
            if stream.peek() == "}":
                stream.expect("}")
                break
            key = stream.value()
            stream.expect(":")
            if key == "chunks" and stream.peek() == "[":
                found = True
                yield from stream.items()
            else:
                self.header[str(key)] = stream.value()
            closing = stream.expect(",}")
        if not found and not stream.peek():
            self._find("not-a-list", _EXPECTED, lost="file")

    def _lines(self) -> Iterator[Read]:
        with self.file.path.open("rb") as file:
            number = position = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if number == 1 and line.startswith(_UTF16_BOMS):
                    self._find("wrong-encoding", "UTF-16; convert the file to UTF-8", line=1, lost="file")
                    return
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    self._find("too-long", "one line is longer than 64 MiB", line=number)
                    _skip_line(file)
                elif line.removeprefix(_UTF8_BOM).strip():
                    value = self._line(line, number)
                    if value is not None:
                        yield Read(value[0], position, number)
                    position += 1

    def _line(self, line: bytes, number: int) -> tuple[Any] | None:
        line = line.removeprefix(_UTF8_BOM)
        try:
            return (orjson.loads(line),)
        except orjson.JSONDecodeError:
            pass
        try:
            return (loads(line.decode().rstrip()),)
        except UnicodeDecodeError as error:
            self._find("wrong-encoding", not_utf8(error.object[error.start]), line=number)
        except RecursionError:
            self._find("invalid-json", "nested too deeply", line=number)
        except JSONDecodeError as error:
            kind = "invalid-json" if line.endswith(b"\n") else "truncated-json"
            self._find(kind, f"{error.msg.lower()}, column {error.colno}", line=number)
        return None

    def _check_count(self, count: int) -> None:
        total = self.header.get("total_chunks")
        if isinstance(total, int) and total != count:
            self._find("count-mismatch", f"total_chunks says {total}, the list has {count}", lost="nothing")

    def _find(
        self, kind: str, reason: str, *, item: int | None = None, line: int | None = None, lost: str = "chunk"
    ) -> None:
        self.on_finding(Finding(kind, Place(self.file.name, item, line), reason, lost))


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass
