"""Where a run begins: at the start, where an interrupted run stopped, or with what a cache holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.engine import Rows, RunPlan
from qembed.models.info import EncoderInfo
from qembed.models.probe import check_probe
from qembed.records import Lengths
from qembed.store.atomic import atomic_file, explained
from qembed.store.cache import VectorCache, open_cache
from qembed.store.journal import Journal, check_journal, read_journal, write_journal
from qembed.store.work import forget

_COPY_ROWS = 512
_CACHED = "cached.u8"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run fills.

    Attributes:
        rows: Vectors of all unique texts.
        finished: Rows that an interrupted run has left, or a cache; bool (unique texts,).
        plan: How texts become batches.
        cached: Rows that came from the cache; bool (unique texts,).
        lengths: Tokens of each text before truncation, filled by the run; int64 (unique texts,).
        digests: Digests of the unique texts, as the cache knows them.
        cache: Where new vectors go; None without one.
    """

    rows: Rows
    finished: npt.NDArray[np.bool_]
    plan: RunPlan
    cached: npt.NDArray[np.bool_]
    lengths: Lengths
    digests: npt.NDArray[Any]
    cache: VectorCache | None


def identity(info: EncoderInfo) -> dict[str, Any]:
    """What decides a vector beside its text; vectors of one identity may be mixed."""
    return {
        "model": info.id,
        "revision": info.revision,
        "weights_sha256": info.weights_sha256,
        "config_sha256": info.config_sha256,
        "prompt": info.document_prompt,
        "max_tokens": info.max_tokens,
        "dtype": info.dtype,
        "dimension": info.dimension,
        "normalized": info.normalized,
        "pooling": info.pooling,
    }


def begin(
    folder: Path,
    output: Path,
    info: EncoderInfo,
    *,
    inputs: str,
    digests: npt.NDArray[Any],
    plan: Callable[[dict[str, Any] | None], RunPlan],
    cache: Path | None = None,
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Begun:
    """Resume an interrupted run of the same inputs and settings, or begin one.

    Args:
        folder: Where the unfinished run is kept.
        output: Where the files will go; named in errors.
        info: The loaded model.
        inputs: Fingerprint of the chunks.
        digests: One for each unique text, for the cache.
        plan: Makes the plan of batches, given that of the run to resume.
        cache: Folder that keeps vectors across runs.
        force: Throw away what was begun with other inputs or settings.
        note: Told what is there already.

    Raises:
        OutputExists: One was begun with other inputs or settings, and not ``force``.
        QembedError: The disk has no room for all vectors.
    """
    count, wanted = len(digests), Journal(inputs, len(digests), identity(info), {})
    found = read_journal(folder)
    if found is not None:
        if force and (found.inputs, found.identity) != (wanted.inputs, wanted.identity):
            forget(folder)
            found = None
        else:
            check_journal(found, wanted, output)
            check_probe(found.probe, info.dtype, info, what="the interrupted run")
    vectors = open_cache(cache, wanted.identity, info.dimension, note)
    with explained(folder):
        rows = Rows.create(folder, count, info.dimension)
        if found is None:
            cached = _from_cache(digests, rows, vectors)
            with atomic_file(folder / _CACHED) as file:
                file.write(cached.tobytes())
            finished = cached
        else:
            finished = rows.done()
            # Only what is sound: a power cut may keep the flags and lose the rows, which are then made anew.
            cached = _load_cached(folder, count) & finished
    made = plan(found.plan if found else None)
    head = Journal(inputs, count, wanted.identity, asdict(made), int(cached.sum()), info.probe)
    write_journal(folder, head)
    if kept := int((finished & ~cached).sum()):
        note(f"resuming an interrupted run: {kept:,} of {count:,} texts are done")
    if cached.any():
        note(f"{int(cached.sum()):,} of {count:,} texts are in the cache")
    return Begun(rows, finished, made, cached, np.zeros(count, dtype=np.int64), digests, vectors)


def remember(begun: Begun, note: Callable[[str], None]) -> None:
    """Put the vectors that are new into the cache; one that cannot be written costs nothing but itself."""
    if begun.cache is None:
        return
    new = np.flatnonzero(~begun.cached & np.asarray(begun.rows.checksums != 0))
    for start in range(0, len(new), _COPY_ROWS):
        part = new[start : start + _COPY_ROWS]
        begun.cache.add(begun.digests[part], np.asarray(begun.rows.vectors[part]))
    if begun.cache.note:
        note(begun.cache.note)


def _load_cached(folder: Path, count: int) -> npt.NDArray[np.bool_]:
    """Which rows came from the cache when the run began; none where that is not known any more."""
    try:
        flags = np.frombuffer((folder / _CACHED).read_bytes(), np.uint8)
    except OSError:
        flags = np.zeros(0, np.uint8)
    return flags == 1 if len(flags) == count else np.zeros(count, np.bool_)


def _from_cache(digests: npt.NDArray[Any], rows: Rows, cache: VectorCache | None) -> npt.NDArray[np.bool_]:
    cached = np.zeros(len(digests), dtype=np.bool_)
    if cache is None:
        return cached
    positions, found = cache.lookup(digests)
    for start in range(0, len(positions), _COPY_ROWS):
        part = slice(start, start + _COPY_ROWS)
        rows.put(positions[part], cache.read(found[part]))
    cached[positions] = True
    return cached
