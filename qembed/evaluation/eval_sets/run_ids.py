"""Ids in runs: without white space, because every tool separates the columns of a run by it.

Where an id of a folder of runs and qrels has white space (of Unicode too), a control character or a byte
order mark, or is empty, these characters are percent-encoded, and ``%`` in every id of the folder.
``encoded_ids.jsonl`` beside the files lists the ids that changed; with it, runs and qrels read back with the
ids that they had. Where no id needs that, all are written as they are, ``%`` too: most are file names or
addresses, and the user's own files name them so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

import orjson

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.findings import refuse
from qembed.evaluation.eval_sets.lines import text_lines, write_lines

ENCODED_IDS: Final = "encoded_ids.jsonl"
EMPTY: Final = "%"
"""Stands for the empty id: any other ``%`` is written ``%25``."""

Names: TypeAlias = Callable[[str], str]

_SEPARATES = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff]")
_ENCODED = re.compile(rf"{_SEPARATES.pattern}|%")


def breaks(name: str) -> bool:
    """Whether a reader that separates by white space would lose the id, or a part of it."""
    return not name or _SEPARATES.search(name) is not None


def encoded(name: str) -> str:
    """The id without white space and control characters; no two ids are encoded alike."""
    return _ENCODED.sub(lambda found: quote(found[0], safe=""), name) or EMPTY


def written_ids(folder: Path, ids: Iterable[str]) -> Names:
    """How the ids are written in ``folder``; says in ``ENCODED_IDS`` which are written otherwise.

    Args:
        folder: Where the runs and qrels go.
        ids: All ids of all these files.

    Raises:
        QembedError: The disk is full or cannot be written.
    """
    known = set(ids)
    if not any(map(breaks, known)):
        (folder / ENCODED_IDS).unlink(missing_ok=True)
        return str
    changed = sorted((written, name) for name in known if (written := encoded(name)) != name)
    lines = (orjson.dumps({"written": written, "id": name}).decode() for written, name in changed)
    write_lines(folder / ENCODED_IDS, lines)
    return encoded


def original_ids(folder: Path) -> Names:
    """The ids that stand in the files of ``folder`` as they were before ``written_ids``.

    Raises:
        Mismatch: The file that says so cannot be read.
    """
    path = folder / ENCODED_IDS
    if not path.is_file():
        return str
    names: dict[str, str] = {}
    for number, line in text_lines(path, refuse):
        try:
            entry = orjson.loads(line)
            names[entry["written"]] = entry["id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise Mismatch(
                "the line does not say which id is written how",
                where=f"{path}, line {number}",
                remedy="copy the folder of runs again; without this file ids stay percent-encoded",
            ) from None
    return lambda name: names.get(name, name)
