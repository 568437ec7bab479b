"""Lines of the files that eval sets are made of, with their numbers; files written whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from qembed.errors import InputNotFound, Mismatch, QembedError
from qembed.evaluation.eval_sets.findings import finding
from qembed.records import OnFinding
from qembed.store import atomic_file, explained

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


_OBJECT = r'\{\s*("(\\.|[^"\\])*"\s*:|\}?\s*$)'
_BEGINS_OBJECT = re.compile(rf"\s*{_OBJECT}")
_BEGINS_JSON = re.compile(rf"\s*({_OBJECT}|\[\s*({_OBJECT}|\]?\s*$))")


def begins_object(line: str) -> bool:
    """Whether a JSON object begins here; an id or a text may begin with a brace too."""
    return _BEGINS_OBJECT.match(line) is not None


def begins_json(line: str) -> bool:
    """Whether a JSON object, or a list of such, begins here."""
    return _BEGINS_JSON.match(line) is not None


def text_lines(path: Path, on_finding: OnFinding) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1, without their ends; streamed.

    Raises:
        InputNotFound: The file is not there.
        QembedError: It cannot be read.
        Mismatch: It is UTF-16.
    """
    try:
        with path.open("rb") as file:
            yield from decoded_lines(file, path, on_finding)
    except FileNotFoundError as error:
        raise InputNotFound("the file does not exist", where=str(path), remedy="check its name") from error
    except OSError as error:
        raise QembedError(
            f"cannot read: {error.strerror}", where=str(path), remedy="give a file that can be read"
        ) from error


def decoded_lines(file: Iterable[bytes], path: Path, on_finding: OnFinding) -> Iterator[tuple[int, str]]:
    """``text_lines`` of a file that is open; ``path`` names it in findings."""
    for number, line in enumerate(file, start=1):
        if number == 1:
            if line.startswith(_UTF16_BOMS):
                raise Mismatch("the file is UTF-16", where=str(path), remedy="save it as UTF-8")
            line = line.removeprefix(_UTF8_BOM)
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            reason = f"byte {error.start + 1} of the line is not UTF-8"
            on_finding(finding("wrong-encoding", path, reason, line=number))
            continue
        if text.strip():
            yield number, text


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, each with a newline; missing folders are made.

    Raises:
        QembedError: The disk is full or cannot be written; what was at ``path`` is untouched.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        for line in lines:
            file.write(f"{line}\n".encode())
