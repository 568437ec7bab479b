"""A kit for the official ``kaggle`` client: a folder for a dataset and one for a notebook."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qembed.commands.kaggle.notebook import NotebookOptions, notebook
from qembed.commands.kaggle.wheel import write_wheel
from qembed.corpus import collection_name
from qembed.corpus.walk import walk
from qembed.errors import OutputExists, UsageError
from qembed.models.resolve import BUNDLED
from qembed.shell import shell_line
from qembed.store import write_json

T4_TIMES_2 = "NvidiaTeslaT4"
"""What ``machine_shape`` calls the session with two T4 (docs/kernels.md of the client)."""

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_MODEL_INPUT = re.compile(r"[\w.-]+/[\w.-]+/[\w.-]+/[\w.-]+/\d+")


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """What a kit is made with.

    Attributes:
        user: Name of the Kaggle account.
        name: Name of dataset and notebook, 6 to 47 of ``a-z0-9-``; from the collection's name when None.
        notebook: Model, precision and the rest.
        wheel: A wheel of qembed; made from the one that is running when None.
        wheels: A folder of wheels of all that qembed needs, for a session without internet.
        model_input: Weights as an input: ``owner/model/framework/variation/version``.
        internet: Whether the session has internet.
        force: Replace a kit that is there.
    """

    user: str
    name: str | None = None
    notebook: NotebookOptions = field(default_factory=NotebookOptions)
    wheel: Path | None = None
    wheels: Path | None = None
    model_input: str | None = None
    internet: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written.

    Attributes:
        dataset: Folder of the dataset: chunks, wheel, ``dataset-metadata.json``.
        kernel: Folder of the notebook with ``kernel-metadata.json``.
        id: ``user/name``.
        commands: What to run, in order: upload, start, watch, fetch.
    """

    dataset: Path
    kernel: Path
    id: str
    commands: tuple[str, ...]


def bundle(chunks: Path, output: Path, options: BundleOptions) -> Bundle:
    """Write the kit.

    Args:
        chunks: A folder of chunk files, or one file.
        output: The kit's folder.
        options: See ``BundleOptions``.

    Raises:
        InputNotFound: There are no chunk files.
        OutputExists: A kit is there, and not ``force``.
        UsageError: A name that Kaggle does not take.
        QembedError: No wheel can be made of this installation.
    """
    next(walk(chunks))
    collection = collection_name(chunks, None)
    name = options.name or _slug(f"qembed-{collection}")
    _check(options, name)
    if output.exists() and any(output.iterdir()):
        if not options.force:
            raise OutputExists("a kit is there already", where=str(output), remedy="--force replaces it")
        for part in ("dataset", "kernel"):
            shutil.rmtree(output / part, ignore_errors=True)
    made = Bundle(
        output / "dataset", output / "kernel", f"{options.user}/{name}", _commands(output, options, name)
    )
    _write_dataset(chunks, collection, made, options)
    _write_kernel(made, options)
    return made


def dataset_metadata(id: str) -> dict[str, Any]:
    """``dataset-metadata.json`` (https://github.com/Kaggle/kaggle-api, docs/datasets_metadata.md)."""
    return {"title": _title(id), "id": id, "licenses": [{"name": "unknown"}]}


def kernel_metadata(id: str, *, gpu: bool, internet: bool, model_input: str | None) -> dict[str, Any]:
    """``kernel-metadata.json`` (docs/kernels_metadata.md there; the client reads ``machine_shape`` too).

    Without ``machine_shape`` a session with GPU gets one P100, for which torch has no kernels any more.
    """
    shape: Mapping[str, Any] = {"machine_shape": T4_TIMES_2} if gpu else {}
    return {
        "id": f"{id}-run",
        "title": f"{_title(id)} run",
        "code_file": "notebook.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": internet,
        **shape,
        "dataset_sources": [id],
        "competition_sources": [],
        "kernel_sources": [],
        "model_sources": [model_input] if model_input else [],
    }


def _write_dataset(chunks: Path, collection: str, made: Bundle, options: BundleOptions) -> None:
    made.dataset.mkdir(parents=True)
    write_json(made.dataset / "dataset-metadata.json", dataset_metadata(made.id))
    target = made.dataset / "chunks" / collection
    if chunks.is_dir():
        shutil.copytree(chunks, target)
    else:
        target.mkdir(parents=True)
        shutil.copy2(chunks, target)
    if options.wheel is None:
        write_wheel(made.dataset)
    else:
        shutil.copy2(options.wheel, made.dataset)
    for wheel in sorted(options.wheels.glob("*.whl")) if options.wheels else ():
        shutil.copy2(wheel, made.dataset)


def _write_kernel(made: Bundle, options: BundleOptions) -> None:
    made.kernel.mkdir(parents=True)
    chosen = replace(
        options.notebook,
        dataset=options.notebook.dataset or made.id.split("/")[1],
        model_input=options.model_input,
        internet=options.internet,
    )
    write_json(made.kernel / "notebook.ipynb", notebook(chosen))
    gpu = not chosen.device.startswith("cpu")
    metadata = kernel_metadata(made.id, gpu=gpu, internet=options.internet, model_input=options.model_input)
    write_json(made.kernel / "kernel-metadata.json", metadata)


def _commands(output: Path, options: BundleOptions, name: str) -> tuple[str, ...]:
    run = f"{options.user}/{name}-run"
    return (
        shell_line("kaggle", "datasets", "create", "-p", output / "dataset", "-r", "zip"),
        shell_line("kaggle", "kernels", "push", "-p", output / "kernel"),
        shell_line("kaggle", "kernels", "status", run),
        shell_line("kaggle", "kernels", "output", run, "-p", "vectors/"),
    )


def _check(options: BundleOptions, name: str) -> None:
    if not _SLUG.fullmatch(options.user):
        raise UsageError(
            f"{options.user!r} is no name of a Kaggle account", remedy="--user as in kaggle.com/NAME"
        )
    if not _SLUG.fullmatch(name) or not 6 <= len(name) <= 46:
        raise UsageError(
            f"Kaggle takes no dataset called {name!r}", remedy="--name with 6 to 46 of a-z, 0-9 and -"
        )
    if options.model_input and not _MODEL_INPUT.fullmatch(options.model_input):
        raise UsageError(
            f"{options.model_input!r} is no model of Kaggle",
            remedy="--model-input owner/model/framework/variation/version, as the model's page says",
        )
    needs_weights = options.notebook.model != BUNDLED and options.model_input is None
    if not options.internet and (options.wheels is None or needs_weights):
        raise UsageError(
            "without internet, packages and weights must be inputs of the session",
            remedy="--wheels FOLDER and --model-input MODEL; docs/kaggle.md says how to come by them",
        )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:46].strip("-")


def _title(id: str) -> str:
    return id.split("/")[1].replace("-", " ")
