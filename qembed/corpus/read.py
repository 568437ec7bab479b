"""The items of one chunk file, in order; what cannot be read becomes a finding, and reading continues."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, BinaryIO, NamedTuple

import orjson

from qembed.corpus.documents import ENVELOPES, STREAMED, items_of
from qembed.corpus.exact_json import has_long_integer, load_bytes, loads, repeated_keys
from qembed.corpus.files import Kind, kind_of, open_binary
from qembed.corpus.json_stream import JsonBreakError, JsonStream, not_utf8
from qembed.corpus.tables import BadTableError, rows_of
from qembed.corpus.walk import ROOT, ChunkFile, no_file
from qembed.errors import UsageError
from qembed.records import Finding, OnFinding, Place

FAST_PATH_BYTES = 1 << 25
"""Files up to 32 MiB are parsed whole by orjson; larger or broken ones go through ``JsonStream``."""

MAX_LINE_BYTES = 1 << 26
_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_MORE = "more text after the end of the JSON document (one object a line? name it .jsonl)"
_SNIFFED_BYTES = 1 << 20


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
        text_column: Key or column that holds the text; a usual one when None.
    """

    file: ChunkFile
    on_finding: OnFinding
    header: dict[str, Any] = field(default_factory=dict)
    text_column: str | None = None
    _count: int = 0

    @property
    def kind(self) -> Kind:
        """How the file is written; a JSON document where its name does not say."""
        return kind_of(self.file.path.name) or Kind("json", "", self.file.path.stem)

    @property
    def subdirectory(self) -> str:
        """What the file itself says that it belongs to; ``root`` where it says nothing that can be a name."""
        name = self.header.get("subdirectory")
        if not isinstance(name, str) or _SURROGATE.search(name):
            return ROOT
        return name.replace("\\", "/").strip(" /") or ROOT

    def items(self) -> Iterator[Read]:
        """The items of the file, in order."""
        path = self.file.path
        try:
            size_bytes = path.stat().st_size
            if kind := no_file(path):
                self._find("unreadable-file", f"{kind}, not a file", lost="file")
            elif size_bytes == 0:
                self._find("empty-file", "the file has no bytes", lost="file")
            elif self.kind.form not in ("json", "lines"):
                yield from self._rows()
            elif self.kind.form == "lines" or self._is_lines():
                yield from self._lines()
            elif size_bytes <= FAST_PATH_BYTES and not self.kind.compression:
                yield from self._whole()
            else:
                yield from self._streamed()
        except UsageError as error:  # a package that reads it is not installed
            self._find("unreadable-file", f"{error.message} ({error.remedy})", lost="file")
        except (OSError, EOFError, zlib.error) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._find("unreadable-file", reason, lost="file" if not self._count else "rest of file")

    def _open(self) -> BinaryIO:
        return open_binary(self.file.path, self.kind.compression)

    def _is_lines(self) -> bool:
        """Whether a ``.json`` has an object per line, as pandas and ``datasets`` write."""
        with self._open() as file:
            first, *others = file.read(_SNIFFED_BYTES).removeprefix(_UTF8_BOM).lstrip().split(b"\n", 1)
        if not others or not first.startswith(b"{") or not others[0].lstrip().startswith(b"{"):
            return False
        try:
            return isinstance(orjson.loads(first), dict)
        except orjson.JSONDecodeError:
            return False

    def _rows(self) -> Iterator[Read]:
        try:
            for row in rows_of(self.file.path, self.kind):
                yield self._read(row)
        except BadTableError as error:
            lost = "rest of file" if self._count else "file"
            self._find("unreadable-table", f"{error}; {self._kept()}", lost=lost)
        else:
            if not self._count:
                self._find("empty-file", "the table has no rows", lost="file")

    def _read(self, value: Any, line: int | None = None) -> Read:
        self._count += 1
        return Read(value, self._count - 1, line)

    def _kept(self) -> str:
        items = "the item" if self._count == 1 else f"the {self._count:,} items"
        return f"{items} before it stayed" if self._count else "nothing before it could be read"

    def _whole(self) -> Iterator[Read]:
        data = self.file.path.read_bytes().removeprefix(_UTF8_BOM)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            yield from self._streamed()
            return
        if has_long_integer(data) or repeated_keys(data, document):
            del data, document
            yield from self._streamed()
            return
        del data
        chunks = document if isinstance(document, list) else None
        if isinstance(document, dict):
            if isinstance(document.get("chunks"), list):
                chunks = document.pop("chunks")
                self.header.update(document)
            else:
                chunks = items_of(document, self.text_column)
        if chunks is None:
            self._find("not-a-list", _expected(document), lost="file")
            return
        del document
        for value in chunks:
            yield self._read(value)
        self._check_count()

    def _streamed(self) -> Iterator[Read]:
        with io.TextIOWrapper(self._open(), "utf-8-sig", "surrogateescape", newline="") as text:
            stream = JsonStream(text)
            try:
                for value in self._document(stream):
                    if stream.bad_byte is not None:
                        self._find("wrong-encoding", not_utf8(stream.bad_byte), item=self._count)
                        self._count += 1
                        continue
                    for key in stream.repeated:
                        self._find("duplicate-key", f"{key!r} stands twice in one object; the last counts",
                                   item=self._count, lost="nothing")  # fmt: skip
                    yield self._read(value)
            except JsonBreakError as error:
                lost = "rest of file" if self._count else "file"
                self._find(error.kind, f"{error}; {self._kept()}", line=error.line, lost=lost)
            else:
                self._check_count()

    def _document(self, stream: JsonStream) -> Iterator[Any]:
        opening = stream.peek()
        if opening == "[":
            yield from stream.items()
        elif opening == "{":
            found = yield from self._members(stream, self.header)
            if not found and not stream.peek():
                items = items_of(self.header, self.text_column)
                if items is None:
                    self._find("not-a-list", _expected(self.header), lost="file")
                yield from items or ()
        else:
            value = stream.value()
            self._find("not-a-list", _expected(value), lost="file")
            return
        if stream.peek():
            raise JsonBreakError("invalid-json", _MORE, stream.line)

    def _members(self, stream: JsonStream, header: dict[str, Any]) -> Generator[Any, None, bool]:
        """The items of the lists that an object is known to hold, one by one; its other members are kept."""
        found = False
        closing = stream.expect("{")
        while closing != "}":
            if stream.peek() == "}":
                stream.expect("}")
                break
            key = stream.value()
            stream.expect(":")
            if key in STREAMED and stream.peek() == "[":
                found = True
                yield from stream.items()
            elif key in ENVELOPES and stream.peek() == "{":
                header[str(key)] = {}
                found = (yield from self._members(stream, header[str(key)])) or found
            else:
                header[str(key)] = stream.value()
            closing = stream.expect(",}")
        return found

    def _lines(self) -> Iterator[Read]:
        with self._open() as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if number == 1 and line.startswith(_UTF16_BOMS):
                    self._find("wrong-encoding", "UTF-16; convert the file to UTF-8", line=1, lost="file")
                    return
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    self._find("too-long", "one line is longer than 64 MiB", line=number)
                    _skip_line(file)
                elif line.removeprefix(_UTF8_BOM).strip():
                    value = self._line(line.removeprefix(_UTF8_BOM), number)
                    if value is not None:
                        yield self._read(value[0], number)
                    else:
                        self._count += 1

    def _line(self, line: bytes, number: int) -> tuple[Any] | None:
        try:
            value = load_bytes(line)
        except ValueError:
            read = self._line_slowly(line, number)
            if read is None:
                return None
            (value,) = read
        try:
            repeated = repeated_keys(line, value)
        except (ValueError, RecursionError):
            repeated = []
        for key in repeated:
            reason = f"{key!r} stands twice in one object; the last counts"
            self._find("duplicate-key", reason, line=number, lost="nothing")
        return (value,)

    def _line_slowly(self, line: bytes, number: int) -> tuple[Any] | None:
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

    def _check_count(self) -> None:
        total = self.header.get("total_chunks")
        if isinstance(total, int) and total != self._count:
            self._find(
                "count-mismatch", f"total_chunks says {total}, the list has {self._count}", lost="nothing"
            )

    def _find(
        self, kind: str, reason: str, *, item: int | None = None, line: int | None = None, lost: str = "chunk"
    ) -> None:
        self.on_finding(Finding(kind, Place(self.file.name, item, line), reason, lost))


def _expected(document: object) -> str:
    keys = f"; the keys are {', '.join(map(repr, list(document)[:8]))}" if isinstance(document, dict) else ""
    return f"expected a list of chunks, or an object with a list 'chunks'{keys}"


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass
