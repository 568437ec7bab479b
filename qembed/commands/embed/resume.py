"""Where a run begins: at the start, where an interrupted run stopped, or with what a cache holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from qembed.commands.embed.steps import Work
from qembed.commands.embed.workers import identity, run_plan
from qembed.engine import Ready, Rows, RunPlan
from qembed.records import Lengths
from qembed.store import (
    Journal,
    atomic_file,
    check_journal,
    explained,
    forget,
    read_journal,
    write_journal,
)
from qembed.store.cache import VectorCache

_COPY_ROWS = 512
_CACHED = "cached.npy"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a run fills.

    Attributes:
        rows: Vectors of all unique texts.
        plan: How texts become batches.
        cached: Rows that came from the cache; bool (unique texts,).
        lengths: Tokens of each text before truncation, filled by the run; int64 (unique texts,).
        cache: Where new vectors go; None without one.
    """

    rows: Rows
    plan: RunPlan
    cached: npt.NDArray[np.bool_]
    lengths: Lengths
    cache: VectorCache | None


def begin(work: Work, ready: Ready) -> Begun:
    """Take up an interrupted run of the same inputs and settings, or begin one.

    Raises:
        OutputExists: One was begun otherwise, and not ``force``.
        QembedError: The disk has no room for all vectors.
    """
    count, options = len(work.groups.first), work.options
    vector_identity = identity(ready.info)
    found = read_journal(work.folder)
    wanted = Journal(work.survey.fingerprint(), count, vector_identity, {})
    if found is not None:
        if options.force and (found.inputs, found.identity) != (wanted.inputs, wanted.identity):
            forget(work.folder)
            found = None
        else:
            check_journal(found, wanted, work.files.embeddings.parent)
    cache = VectorCache(options.cache, vector_identity, ready.info.dimension) if options.cache else None
    with explained(work.folder):
        rows = Rows.create(work.folder, count, ready.info.dimension)
        if found is None:
            cached = _from_cache(work, rows, cache)
            with atomic_file(work.folder / _CACHED) as file:
                np.save(file, cached)
        else:
            cached = _load_cached(work)
    plan = run_plan(work, ready, found.plan if found else None)
    write_journal(
        work.folder, Journal(wanted.inputs, count, vector_identity, asdict(plan), int(cached.sum()))
    )
    kept = int(rows.done().sum()) - int(cached.sum()) if found else 0
    if kept:
        work.progress.note(f"going on with an interrupted run: {kept:,} of {count:,} texts are done")
    if cached.any():
        work.progress.note(f"{int(cached.sum()):,} of {count:,} texts are in the cache")
    return Begun(rows, plan, cached, np.zeros(count, dtype=np.int64), cache)


def remember(work: Work, begun: Begun) -> None:
    """Put the vectors that are new into the cache; one that cannot be written costs nothing but itself."""
    if begun.cache is None:
        return
    new = np.flatnonzero(~begun.cached & np.asarray(begun.rows.checksums != 0))
    digests = work.survey.digests(work.groups)
    for start in range(0, len(new), _COPY_ROWS):
        part = new[start : start + _COPY_ROWS]
        begun.cache.add(digests[part], np.asarray(begun.rows.vectors[part]))
    if begun.cache.note:
        work.progress.note(begun.cache.note)


def _load_cached(work: Work) -> npt.NDArray[np.bool_]:
    """Which rows came from the cache when the run began; none where that is not known any more."""
    count = len(work.groups.first)
    try:
        cached = np.load(work.folder / _CACHED)
    except (OSError, ValueError):
        cached = np.zeros(0)
    return cached if cached.shape == (count,) and cached.dtype == np.bool_ else np.zeros(count, np.bool_)


def _from_cache(work: Work, rows: Rows, cache: VectorCache | None) -> npt.NDArray[np.bool_]:
    cached = np.zeros(len(work.groups.first), dtype=np.bool_)
    if cache is None:
        return cached
    positions, found = cache.lookup(work.survey.digests(work.groups))
    for start in range(0, len(positions), _COPY_ROWS):
        part = slice(start, start + _COPY_ROWS)
        rows.put(positions[part], cache.read(found[part]))
    cached[positions] = True
    return cached
