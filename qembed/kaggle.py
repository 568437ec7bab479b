"""What is special on Kaggle: where things lie, what a session has, and what it cannot hold.

    /kaggle/input     read-only: datasets/<owner>/<slug>, notebooks/<owner>/<slug>, competitions/<slug>,
                      models/...; in older sessions <slug> alone
    /kaggle/working   20 GB, kept with the notebook: the output goes here
    /kaggle/temp      large, gone after the session: downloaded models go here if nowhere else

``QEMBED_KAGGLE_ROOT`` names another root than ``/``; every function takes one too. Nothing heavy is imported
at the top, so that this can run before anything imports ``huggingface_hub``, which reads ``HF_HOME`` once.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.errors import InputNotFound, UsageError
from qembed.shell import shell_line

if TYPE_CHECKING:
    from qembed.corpus.walk import ChunkFile

ROOT_VARIABLE = "QEMBED_KAGGLE_ROOT"
RUN_TYPE_VARIABLE = "KAGGLE_KERNEL_RUN_TYPE"
"""Set by Kaggle: ``Interactive`` or ``Batch``."""

WORKING_BYTES = 20_000_000_000
SESSION_SECONDS = 12 * 3600.0
RESERVE_SECONDS = 1800.0
"""Seconds of a session that are kept for writing, auditing and packing."""

CHOOSE_GPU = "in the notebook: Settings > Accelerator > GPU T4 x2, then run the cells again"

_CHUNK_FILE = re.compile(r"(.*_chunks|chunks|corpus)\.jsonl?")
_BEIR = "corpus.jsonl"
_PEEKED_ITEMS = 3
_CACHE_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
_KINDS = {"datasets": "*/*", "notebooks": "*/*", "competitions": "*"}
"""Folders of ``/kaggle/input`` that hold others, with the pattern of what is one input."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder of chunks below ``/kaggle/input``; ``files`` is its number of chunk files."""

    folder: Path
    files: int


@dataclass(frozen=True, slots=True)
class Defaults:
    """What ``qembed embed`` works on: input, output folder, and what the user should know of the choice."""

    input: Path
    output: Path
    notes: tuple[str, ...] = ()


def kaggle_root(environ: Mapping[str, str] = os.environ) -> Path:
    """``/``, or what ``QEMBED_KAGGLE_ROOT`` names."""
    return Path(environ.get(ROOT_VARIABLE) or "/")


def on_kaggle(environ: Mapping[str, str] = os.environ) -> bool:
    """Kaggle says so, or its output folder is there."""
    return bool(environ.get(RUN_TYPE_VARIABLE)) or working(kaggle_root(environ)).is_dir()


def working(root: Path | None = None) -> Path:
    """The folder that is kept and offered for download."""
    return (root or kaggle_root()) / "kaggle" / "working"


def defaults(input: Path | None, output: Path | None, environ: Mapping[str, str] = os.environ) -> Defaults:
    """Complete what was not given: on Kaggle the only input there is, and ``/kaggle/working``.

    Args:
        input: As given; on Kaggle also the name of a dataset or of a folder within one.
        output: As given.
        environ: Environment of the process.

    Raises:
        UsageError: Something was not given, and this is not Kaggle.
        InputNotFound: No input holds chunks, or several do.
    """
    root = kaggle_root(environ)
    here = on_kaggle(environ)
    notes = []
    if here and (input is None or not (input.is_absolute() or input.exists())):
        input = find_input(None if input is None else input.as_posix(), root)
        notes.append(f"Kaggle: the chunks are read from {input}")
    if here and output is None:
        output = working(root)
        notes.append(f"Kaggle: the output goes to {output}")
    if input is None or output is None:
        missing = "argument 'INPUT'" if input is None else "option '-o' / '--output'"
        raise UsageError(f"missing {missing}", remedy="for example: qembed embed chunks/ -o out/")
    return Defaults(input, output, tuple(notes))


def keep_model_cache_out(environ: MutableMapping[str, str] = os.environ) -> str | None:
    """Point ``HF_HOME`` at ``/kaggle/temp`` where downloaded models would go to ``/kaggle/working``.

    A model there would fill the 20 GB and be saved with the notebook. Any other place is left as it is. Call
    it before anything imports ``huggingface_hub``.

    Returns:
        What was done, in words; None where nothing was.
    """
    root = kaggle_root(environ)
    cache = _model_cache(environ)
    if not on_kaggle(environ) or not cache.resolve().is_relative_to(working(root).resolve()):
        return None
    for name in _CACHE_VARIABLES:
        environ.pop(name, None)
    environ["HF_HOME"] = str(model_cache(root))
    return f"Kaggle: models are kept in {model_cache(root)}, not in {cache}, which holds 20 GB and is saved"


def model_cache(root: Path | None = None) -> Path:
    """Where downloaded models may lie: large, and gone after the session."""
    return (root or kaggle_root()) / "kaggle" / "temp" / "huggingface"


def _model_cache(environ: Mapping[str, str]) -> Path:
    """Where ``huggingface_hub`` would put models (its constants.py)."""
    for name in _CACHE_VARIABLES:
        if environ.get(name):
            return Path(environ[name]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".cache"
    return Path(cache) / "huggingface"


def find_input(name: str | None = None, root: Path | None = None) -> Path:
    """The one folder of chunks below ``/kaggle/input``.

    Args:
        name: Narrows: a dataset's slug, ``owner/slug``, or a folder within it.
        root: Instead of ``/``.

    Raises:
        InputNotFound: None is there, or several are; they are listed with their numbers of chunk files.
    """
    return choose_input(find_inputs(root), name)


def choose_input(found: Sequence[Collection], name: str | None = None) -> Path:
    """The one of ``found`` that is meant; ``find_input`` says how. Pure.

    Raises:
        InputNotFound: None is, or several are.
    """
    fitting = [each for each in found if name is None or _is_called(each.folder, name)]
    if len(fitting) == 1:
        return fitting[0].folder
    listed = "; ".join(f"{each.folder} ({each.files:,} chunk files)" for each in (fitting or found)[:8])
    if fitting:
        raise InputNotFound(
            f"{len(fitting)} inputs hold chunks",
            where=listed,
            remedy=f"name one: {shell_line('qembed', 'embed', fitting[0].folder)}",
        )
    wanted = "chunks" if name is None else f"chunks and is called {name!r}"
    raise InputNotFound(
        f"no input of this notebook holds {wanted}",
        where=listed or "/kaggle/input",
        remedy="in the notebook: Add Input, choose the dataset with the chunk files",
    )


def find_model(name: str, root: Path | None = None) -> Path:
    """The folder of a model that is an input of the notebook.

    Args:
        name: As on the model's page: ``owner/model/framework/variation/version``. Kaggle mounts it below
            ``/kaggle/input/models/`` with all of these names, in older sessions without the owner.
        root: Instead of ``/``.

    Raises:
        InputNotFound: It is not an input, or holds no model.
    """
    top = (root or kaggle_root()) / "kaggle" / "input"
    for folder in (top / "models" / name, top / name, top / name.partition("/")[2]):
        for found in sorted(folder.rglob("modules.json")) or sorted(folder.rglob("config.json")):
            return found.parent
    raise InputNotFound(
        f"no input of this notebook is the model {name}",
        where=str(top),
        remedy="in the notebook: Add Input > Models, and the version that the settings name",
    )


def find_inputs(root: Path | None = None) -> list[Collection]:
    """The folders of chunks below ``/kaggle/input``, in order of their names.

    A collection is the topmost folder of an input that holds chunk files itself or in a direct subfolder, so
    ``<slug>/output/qdrant_ecosystem/<subdirectory>/*_chunks.json`` leads to ``qdrant_ecosystem``; a BEIR
    folder (``corpus.jsonl``) always is one itself. Inputs of the kind ``models`` are passed over.
    """
    top = (root or kaggle_root()) / "kaggle" / "input"
    mounts: list[Path] = []
    if top.is_dir():
        for entry in sorted(top.iterdir()):
            inputs = sorted(entry.glob(_KINDS[entry.name])) if entry.name in _KINDS else [entry]
            mounts += [] if entry.name == "models" else inputs
    found = []
    for mount in mounts:
        files = _folders_with_chunks(mount)
        for folder in _collections(mount, files):
            inside = sum(count for path, count in files.items() if path.is_relative_to(folder))
            found.append(Collection(folder, inside))
    return found


def _is_called(path: Path, name: str) -> bool:
    """``name`` is a run of whole parts of ``path``."""
    return f"/{name.strip('/')}/" in f"/{path.as_posix()}/"


def _folders_with_chunks(mount: Path) -> Counter[Path]:
    """How many chunk files each folder holds directly.

    Names that only chunk files have are trusted; where there are none, other JSON files are looked into.
    """
    from qembed.corpus.walk import walk

    files: list[ChunkFile] = []
    with suppress(InputNotFound):
        files += walk(mount)
    sure = [file for file in files if _CHUNK_FILE.fullmatch(file.path.name)]
    kept = sure or [file for file in files if _begins_with_chunks(file)]
    return Counter(mount if file.path == mount else file.path.parent for file in kept)


def _begins_with_chunks(file: ChunkFile) -> bool:
    from qembed.corpus.layouts import BadItemError, parse_item
    from qembed.corpus.read import FileReader

    for read in islice(FileReader(file, lambda _: None).items(), _PEEKED_ITEMS):
        with suppress(BadItemError):
            parse_item(read.value)
            return True
    return False


def _collections(folder: Path, files: Counter[Path]) -> Iterator[Path]:
    below = sorted({folder / path.relative_to(folder).parts[0] for path in files if folder in path.parents})
    if folder in files or any(path in files and not (path / _BEIR).is_file() for path in below):
        yield folder
        return
    for path in below:
        yield from _collections(path, files)


def gpus_asked(device: str) -> int:
    """How many GPUs a ``--device`` needs at least: 2 for ``cuda:1`` and ``t4x2``, 0 for ``auto``."""
    needed = 0
    for part in device.lower().split(","):
        kind, _, number = part.strip().partition(":")
        if kind == "cuda":
            needed = max(needed, int(number) + 1 if number.isdigit() else 1)
        elif not kind.startswith(("auto", "cpu", "mps")):
            times = re.search(r"x(\d+)$", kind)
            needed = max(needed, int(times[1]) if times else 1)
    return needed


def room_bytes(root: Path | None = None) -> int:
    """Bytes that ``/kaggle/working`` can still take: of its 20 GB and of the disk; 0 where it is absent."""
    folder = working(root)
    if not folder.is_dir():
        return 0
    used = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return max(0, min(shutil.disk_usage(folder).free, WORKING_BYTES - used))


def seconds_left(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds until Kaggle ends the session: 12 h after the container's first process began.

    An estimate: Kaggle also ends idle sessions, and TPU sessions after 9 h. None elsewhere than on Kaggle.
    """
    if not on_kaggle(environ):
        return None
    import psutil

    try:
        return max(0.0, SESSION_SECONDS - (time.time() - psutil.Process(1).create_time()))
    except psutil.Error:
        return None


def time_limit(asked_seconds: float | None, environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds that embedding may take: what was asked for, on Kaggle at most what the session has left.

    Half an hour of the session is kept for what comes after; at least a minute is given.
    """
    left = seconds_left(environ)
    if left is None:
        return asked_seconds
    usable = max(60.0, left - RESERVE_SECONDS)
    return usable if asked_seconds is None else min(asked_seconds, usable)


def zip_output(files: Sequence[Path], archive: Path | None = None) -> Path:
    """Put finished files into one archive for download.

    JSON is deflated (about half as large), other formats are stored. The archive takes its name only when it
    is complete. Memory does not grow with the files, which may be larger than 4 GB (ZIP64).

    Args:
        files: They keep their names, without folders.
        archive: ``NAME.zip`` beside the first file, whose name is ``NAME.*``, when None.

    Raises:
        UsageError: There are no files.
        QembedError: The disk is full or cannot be written.
    """
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

    from qembed.store.atomic import atomic_file

    if not files:
        raise UsageError("there are no files to put into an archive")
    archive = archive or files[0].with_suffix(".zip")
    with atomic_file(archive) as out, ZipFile(out, "w", strict_timestamps=False, compresslevel=1) as zipped:
        for file in files:
            method = ZIP_DEFLATED if file.suffix in (".json", ".jsonl") else ZIP_STORED
            zipped.write(file, file.name, compress_type=method)
    return archive
