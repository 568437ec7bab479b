"""What a Kaggle session has, and which of it would make an embedding fail or slow."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Literal, TypeAlias

from qembed import kaggle
from qembed.engine.planning.choice import Choice, choose, require_gpu
from qembed.engine.planning.facts import ModelFacts
from qembed.engine.planning.gpus import MIN_GPU_BYTES, Gpu, find_gpus
from qembed.engine.planning.presets import device_here, together
from qembed.errors import InputNotFound, QembedError, UsageError
from qembed.models.device import list_devices

SHORT_SECONDS = 3600.0
HUB_TIMEOUT_SECONDS = 3.0
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "huggingface-hub", "numpy")

Outcome: TypeAlias = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Session:
    """What was found.

    Attributes:
        on_kaggle: This is Kaggle.
        gpus: Those that torch sees.
        hub_reachable: The model hub answers.
        room_bytes: What ``/kaggle/working`` can still take.
        seconds_left: Until Kaggle ends the session; None where that cannot be known.
        inputs: Folders of chunks below ``/kaggle/input``.
        versions: Versions of Python and the libraries that decide a vector; None where one is not installed.
    """

    on_kaggle: bool
    gpus: tuple[Gpu, ...]
    hub_reachable: bool
    room_bytes: int
    seconds_left: float | None
    inputs: tuple[kaggle.Collection, ...]
    versions: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, what was found, and what to do about it."""

    name: str
    outcome: Outcome
    found: str
    remedy: str | None = None


def look(environ: Mapping[str, str] = os.environ) -> Session:
    """See what is there. Takes some seconds where there are GPUs."""
    root = kaggle.kaggle_root(environ)
    return Session(
        on_kaggle=kaggle.on_kaggle(environ),
        gpus=tuple(find_gpus()),
        hub_reachable=hub_reachable(environ),
        room_bytes=kaggle.room_bytes(root),
        seconds_left=kaggle.seconds_left(environ),
        inputs=tuple(kaggle.find_inputs(root)),
        versions={"python": python_version(), **{name: _version(name) for name in LIBRARIES}},
    )


def hub_reachable(
    environ: Mapping[str, str] = os.environ, timeout_seconds: float = HUB_TIMEOUT_SECONDS
) -> bool:
    """Whether the model hub (``HF_ENDPOINT``, else huggingface.co) answers at all, within the timeout."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    endpoint = environ.get("HF_ENDPOINT") or "https://huggingface.co"
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError, HTTPException, ValueError):
            try:
                urlopen(Request(endpoint, method="HEAD"), timeout=timeout_seconds).close()
            except HTTPError as error:
                error.close()
            answered.set()

    # In a thread, because looking up a name takes no timeout and is what hangs without internet.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_seconds)
    return answered.is_set()


def choose_in(session: Session, facts: ModelFacts, device: str) -> Choice | None:
    """What ``embed`` would run here, texts of usual length assumed; None where the device is not here."""
    try:
        names = list_devices(device)
    except UsageError:
        return None  # another check says so
    gpus = {f"cuda:{gpu.index}": gpu for gpu in session.gpus}
    here = names[0] in gpus
    return choose(facts, together([gpus[name] for name in names]) if here else device_here(names))


def check(
    session: Session,
    *,
    device: str = "auto",
    choice: Choice | None = None,
    dataset: str | None = None,
    needs_hub: bool = True,
    output_bytes: int = 0,
) -> list[Check]:
    """Judge a session. Pure.

    Args:
        session: From ``look``.
        device: As it will be given to ``qembed embed``.
        choice: From ``choose_in``; None leaves the model out.
        dataset: The name of the input, where there are several.
        needs_hub: The model is to be downloaded.
        output_bytes: Size of all files that will be written, as far as known.
    """
    return [
        _check_place(session),
        *_check_gpus(session.gpus, device),
        *_check_model(choice, device),
        _check_hub(session.hub_reachable, needs_hub),
        _check_disk(session.room_bytes, output_bytes),
        *_check_time(session.seconds_left),
        _check_input(session.inputs, dataset),
    ]


def _check_place(session: Session) -> Check:
    if session.on_kaggle:
        return Check("Kaggle", "ok", "a Kaggle session")
    found = f"neither {kaggle.RUN_TYPE_VARIABLE} nor /kaggle/working is there"
    return Check("Kaggle", "failed", found, "run this in a Kaggle notebook; elsewhere: qembed plan")


def _check_gpus(gpus: Sequence[Gpu], device: str) -> Iterator[Check]:
    asked = kaggle.gpus_asked(device)
    if len(gpus) < asked:
        yield Check(
            "GPUs", "failed", f"{len(gpus)} found, --device {device} needs {asked}", kaggle.CHOOSE_GPU
        )
    elif not gpus:
        wanted = device.strip().lower().startswith("auto")
        yield Check("GPUs", "warning" if wanted else "ok", "none", kaggle.CHOOSE_GPU if wanted else None)
    for gpu in gpus:
        facts = f"{gpu.name}, {gpu.memory_bytes / 1e9:.2f} GB, compute capability {_dotted(gpu.capability)}"
        name = f"GPU {gpu.index}"
        if not gpu.supported:
            yield Check(name, "failed", f"{facts}: this torch has no code for it", kaggle.CHOOSE_GPU)
        elif gpu.memory_bytes < MIN_GPU_BYTES:
            remedy = "qembed plan says what fits: a smaller --precision (int8, nf4) or --shard"
            yield Check(name, "warning", f"{facts}: less than {MIN_GPU_BYTES / 1e9:.1f} GB", remedy)
        else:
            yield Check(name, "ok", facts)


def _check_model(choice: Choice | None, device: str) -> Iterator[Check]:
    if choice is None:
        return
    try:
        require_gpu(choice.facts, choice.device, device)
        found = f"{choice.facts.id} in {choice.in_words()}"
    except QembedError as error:
        yield Check("model", "failed", error.message, error.remedy)
        return
    yield Check("model", "ok", " ".join(filter(None, (f"{found}.", choice.decision.why))))


def _check_hub(reachable: bool, needed: bool) -> Check:
    if reachable or not needed:
        return Check("model hub", "ok", "answers" if reachable else "does not answer; not needed")
    remedy = "in the notebook: Settings > Turn on internet; or --model minilm, or a folder with the model"
    return Check("model hub", "warning", "does not answer", remedy)


def _check_disk(room_bytes: int, output_bytes: int) -> Check:
    room = f"{room_bytes / 1e9:.1f} GB of 20 GB free in /kaggle/working"
    if output_bytes > room_bytes:
        remedy = "delete what is there, --truncate-dim, or --format parquet or npy, which are smaller"
        return Check("disk", "failed", f"{room}, {output_bytes / 1e9:.1f} GB wanted", remedy)
    if room_bytes < kaggle.WORKING_BYTES / 4:
        return Check("disk", "warning", room, "delete what is not needed there")
    return Check("disk", "ok", room)


def _check_time(seconds_left: float | None) -> Iterator[Check]:
    if seconds_left is None:
        return
    found = f"about {seconds_left / 3600:.1f} h of 12 h left"
    if seconds_left < SHORT_SECONDS:
        yield Check("session", "warning", found, "start a new session, or give a shorter --time-limit")
    else:
        yield Check("session", "ok", found)


def _check_input(inputs: Sequence[kaggle.Collection], dataset: str | None) -> Check:
    try:
        folder = kaggle.choose_input(inputs, dataset)
    except InputNotFound as error:
        return Check("input", "failed", "; ".join(filter(None, (error.message, error.where))), error.remedy)
    files = next(each.files for each in inputs if each.folder == folder)
    return Check("input", "ok", f"{folder} ({files:,} chunk files)")


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
