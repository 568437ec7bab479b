"""Text of others on its way to a terminal: characters that would steer the terminal are made visible. Pure.

Chunks, ids, file names and model names come from anywhere. Escape sequences in them could move the cursor,
change the title or fill the clipboard; marks of writing direction could make a line read otherwise.
"""

from __future__ import annotations

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    "\u2028\u2029\ud800-\udfff]"  # line ends that are none, halves of characters
)
_LINE_ENDS = re.compile(r"\r\n")


def visible(text: str) -> str:
    """Text with nothing in it that steers a terminal.

    Control characters become their pictures (``␛``), everything else of that kind becomes ``�``: one column
    each. Tabs and line feeds stay.
    """
    return _STEERING.sub(_picture, _LINE_ENDS.sub("\n", text))


def escaped_json(document: str) -> str:
    """A JSON document with the same content, in which such characters are written as ``\\u202e``."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
