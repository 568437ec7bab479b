"""A JSON document that is a list of chunks, read item by item in bounded memory.

Whole-document parsers lose everything when one byte is wrong, and hold a 1 GB file several times over.
This reader slides a window over the text: the items before a break are kept, the break gets a line number,
and memory is bounded by the longest item. About 100 MB/s; small intact files take the fast path in ``read``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from qembed.corpus.exact_json import exact_float, exact_integer

BLOCK_CHARACTERS = 1 << 20
MAX_ITEM_CHARACTERS = 1 << 26
"""64 Mi characters: a single value longer than this is reported, not read."""

_WHITESPACE = " \t\r\n"
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_ESCAPED_BYTE = re.compile(r"[\udc80-\udcff]")


class JsonBreakError(ValueError):
    """The document breaks off or is not JSON from here on.

    Attributes:
        kind: ``truncated-json``, ``invalid-json``, ``wrong-encoding`` or ``too-long``.
        line: Line of the break, from 1.
    """

    def __init__(self, kind: str, reason: str, line: int) -> None:
        super().__init__(reason)
        self.kind = kind
        self.line = line


def not_utf8(byte: int) -> str:
    """What to say of a byte that is not UTF-8."""
    return f"not UTF-8 (byte 0x{byte:02X}); convert the file to UTF-8"


class JsonStream:
    """Reads the parts of one JSON document in order.

    Args:
        file: Text decoded with ``surrogateescape``: bytes that are not UTF-8 cost only the value they are in.

    Attributes:
        bad_byte: First byte that is not UTF-8 in the value that was taken last; None when all are.
        repeated: Keys that stood twice in an object of the value that was taken last.
    """

    def __init__(self, file: TextIO) -> None:
        self.bad_byte: int | None = None
        self.repeated: list[str] = []
        self._decoder = json.JSONDecoder(
            parse_int=exact_integer, parse_float=exact_float, object_pairs_hook=self._object
        )
        self._any_bad = False
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
            raise self._unexpected(found, f"expected {' or '.join(characters)}, found {found!r}", self.line)
        self._at += 1
        return found

    def value(self) -> Any:
        """Take one whole value.

        Raises:
            JsonBreakError: The value is broken, breaks off, or is too long.
        """
        self.peek()
        while True:
            self.repeated = []
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
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
                # Only a number may go on behind the window (``1`` as ``1.5``, ``1e`` as ``1e+3``).
                if isinstance(value, int | float) and end + 2 >= len(self._buffer) and self._fill():
                    continue
                self.bad_byte = self._bad_byte(end)
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

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            self.repeated += sorted({name for name in names if names.count(name) > 1})
        return made

    def _fill(self) -> bool:
        """Read on, at least doubling what is unread (so retries cost linear time); False at the end."""
        if self._ended:
            return False
        block = self._file.read(max(BLOCK_CHARACTERS, len(self._buffer) - self._at))
        if not block:
            self._ended = True  # the window stays: positions of errors refer to it
            return False
        self._lines_before += self._buffer.count("\n", 0, self._at)
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        self._any_bad = self._any_bad or (not block.isascii() and _ESCAPED_BYTE.search(block) is not None)
        return True

    def _bad_byte(self, end: int) -> int | None:
        found = _ESCAPED_BYTE.search(self._buffer, self._at, end) if self._any_bad else None
        return ord(found[0]) - 0xDC00 if found else None

    def _explain(self, error: json.JSONDecodeError) -> JsonBreakError:
        line = 1 + self._lines_before + self._buffer.count("\n", 0, error.pos)
        rest = self._buffer[error.pos : error.pos + 10].rstrip(_WHITESPACE)
        cut_escape = error.msg.startswith("Invalid \\u") and len(rest) < len("\\u0000")
        cut_word = any(word.startswith(rest) for word in _WORDS)  # also when nothing is left
        reason = error.msg.lower().removesuffix(" starting at")
        if error.msg.startswith("Unterminated") or cut_escape or cut_word:
            return JsonBreakError("truncated-json", reason, line)
        return self._unexpected(rest[0], reason, line)

    @staticmethod
    def _unexpected(found: str, reason: str, line: int) -> JsonBreakError:
        if found == "\0":
            return JsonBreakError("wrong-encoding", "not text, or not UTF-8 (byte 0x00)", line)
        if _ESCAPED_BYTE.match(found):
            return JsonBreakError("wrong-encoding", not_utf8(ord(found) - 0xDC00), line)
        return JsonBreakError("invalid-json", reason, line)
