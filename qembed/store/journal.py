"""What an unfinished run leaves for the next: who it was, beside the rows that it has finished.

The rows (``engine.rows``) tell for themselves which of them are done; this file tells whether they are the
ones that a new run wants.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from qembed.errors import OutputExists
from qembed.store.manifest import write_json
from qembed.store.work import JOURNAL, forget

_SCHEMA = "qembed.journal/1"


@dataclass(frozen=True, slots=True)
class Journal:
    """The head of an unfinished run.

    Attributes:
        inputs: Fingerprint of the chunks.
        texts: Unique texts, one row each.
        identity: What decides a vector beside its text: model, revision, weights, prompt, max length,
            dtype, dimension, normalisation.
        plan: How the texts were put into batches, so that the next run does it in the same way.
        cached: Rows that came from a cache.
        probe: The model's probe (``models.probe``); empty in journals of older versions.
        schema: Version of this form.
    """

    inputs: str
    texts: int
    identity: dict[str, Any]
    plan: dict[str, Any]
    cached: int = 0
    probe: tuple[float, ...] = ()
    schema: str = _SCHEMA


def read_journal(folder: Path) -> Journal | None:
    """The journal in a work folder; None where there is none that this version can read.

    In that case the rows beside it, if any, are removed: nobody can tell any more whose they are.
    """
    try:
        journal = msgspec.convert(orjson.loads((folder / JOURNAL).read_bytes()), Journal)
        if journal.schema == _SCHEMA and all(_is_plan_value(value) for value in journal.plan.values()):
            return journal
    except (OSError, orjson.JSONDecodeError, msgspec.ValidationError):
        pass
    forget(folder)
    return None


def _is_plan_value(value: object) -> bool:
    return value is None or (isinstance(value, int) and value >= 0)


def write_journal(folder: Path, journal: Journal) -> None:
    """From here on what is in the folder survives the end of the run."""
    write_json(folder / JOURNAL, asdict(journal))


def check_journal(found: Journal, wanted: Journal, output: Path) -> None:
    """Refuse to go on with what was begun otherwise.

    Raises:
        OutputExists: naming every field that differs.
    """
    differences = [
        f"{key} was {found.identity.get(key)!r}, now {wanted.identity.get(key)!r}"
        for key in wanted.identity | found.identity
        if found.identity.get(key) != wanted.identity.get(key)
    ]
    if (found.inputs, found.texts) != (wanted.inputs, wanted.texts):
        differences.append(f"the chunks have changed (then {found.texts:,} unique texts)")
    if differences:
        raise OutputExists(
            f"an unfinished run with other settings is there: {'; '.join(differences)}",
            where=str(output),
            remedy="the settings it was started with finish it; --force discards it; another -o keeps both",
        )
