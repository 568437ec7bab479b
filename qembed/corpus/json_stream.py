"""A JSON document that is a list of chunks, read item by item in bounded memory.

Whole-document parsers lose everything when one byte is wrong, and hold a 1 GB file several times over.
This reader slides a window over the text: the items before a break are kept, the break gets a line number,
and memory is bounded by the longest item. About 100 MB/s; small intact files take the fast path in ``read``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

BLOCK_CHARACTERS = 1 << 20
MAX_ITEM_CHARACTERS = 1 << 26
"""64 Mi characters: a single value longer than this is reported, not read."""

_WHITESPACE = " \t\r\n"


class JsonBreakError(ValueError):
    """The document breaks off or is not JSON from here on.

    Attributes:
        kind: ``truncated-json``, ``invalid-json`` or ``too-long``.
        line: Line of the break, from 1.
    """

    def __init__(self, kind: str, reason: str, line: int) -> None:
        super().__init__(reason)
        self.kind = kind
        self.line = line


def _integer(digits: str) -> int | float:
    # What orjson does with integers beyond 64 bits, so that both readers agree.
    value = int(digits) if len(digits) < 25 else float(digits)
    return value if -(2**63) <= value < 2**64 else float(value)


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=lambda _: None)


def loads(text: str) -> Any:
    """``json.loads`` that takes lone surrogates and reads NaN and Infinity as null, as writers of JSON do."""
    return json.loads(text, parse_int=_integer, parse_constant=lambda _: None)


class JsonStream:
    """Reads the parts of one JSON document from a text file in order."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer = ""
        self._at = 0
        self._lines_before = 0
        self._ended = False

    @property
    def line(self) -> int:
        """Line of the next unread character, from 1."""
        return 1 + self._lines_before + self._buffer.count("\n", 0, self._at)

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the document."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _WHITESPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def expect(self, characters: str) -> str:
        """Take one of ``characters``.

        Raises:
            JsonBreakError: Something else stands there, or nothing more.
        """
        found = self.peek()
        if not found:
            raise JsonBreakError("truncated-json", "the document ends here", self.line)
        if found not in characters:
            raise JsonBreakError(
                "invalid-json", f"expected {' or '.join(characters)}, found {found!r}", self.line
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """Take one whole value.

        Raises:
            JsonBreakError: The value is broken, breaks off, or is too long.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise JsonBreakError("invalid-json", "nested too deeply", self.line) from None
            except json.JSONDecodeError as error:
                if not self._ended and len(self._buffer) - self._at > MAX_ITEM_CHARACTERS:
                    raise JsonBreakError(
                        "too-long", "one item is longer than 64 Mi characters", self.line
                    ) from None
                if not self._fill():
                    raise self._explain(error) from None
            else:
                # A number may go on behind the window; objects and strings are closed by themselves.
                if end < len(self._buffer) or not self._fill():
                    self._at = end
                    return value

    def items(self) -> Iterator[Any]:
        """The values of the list that begins here."""
        self.expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return

    def _fill(self) -> bool:
        """Read on, at least doubling what is unread (so retries cost linear time); False at the end."""
        if self._ended:
            return False
        self._lines_before += self._buffer.count("\n", 0, self._at)
        rest = self._buffer[self._at :]
        block = self._file.read(max(BLOCK_CHARACTERS, len(rest)))
        self._buffer, self._at = rest + block, 0
        self._ended = not block
        return bool(block)

    def _explain(self, error: json.JSONDecodeError) -> JsonBreakError:
        line = 1 + self._lines_before + self._buffer.count("\n", 0, error.pos)
        broken_off = error.msg.startswith("Unterminated") or not self._buffer[error.pos :].strip()
        return JsonBreakError("truncated-json" if broken_off else "invalid-json", error.msg.lower(), line)
