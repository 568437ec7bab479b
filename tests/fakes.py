"""A device that misbehaves on purpose, without torch; some token ids do something to it.

Everything here can be pickled, so that it runs in worker processes too.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qembed.engine import Encoded, InlinePool, ProcessPool, Rows, RunPlan, WorkerSpec, encode_rows
from qembed.errors import QembedError
from qembed.models.info import EncoderInfo
from qembed.models.tokens import Tokenized

DIMENSION = 4
DIE, HANG, NAN, NAN_ALWAYS, LOSE_DEVICE, DIE_ONCE, FAIL = 901, 902, 903, 904, 905, 906, 907

OOM_SPELLINGS = {
    "OutOfMemoryError": "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 14.74 GiB",
    "AcceleratorError": "CUDA error: out of memory\nCUDA kernel errors might be reported asynchronously",
    "cublas": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cublas handle": "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cudnn": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cudnn9": "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "hip": "HIP out of memory. Tried to allocate 2.00 GiB",
    "mps": "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)",
    "cpu": "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory",
    "MemoryError": "",
}


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


class AcceleratorError(RuntimeError):
    """Named as torch names it."""


def oom(spelling: str) -> Exception:
    """An error as a device raises it when its memory is full."""
    kinds: dict[str, type[Exception]] = {
        "OutOfMemoryError": OutOfMemoryError,
        "AcceleratorError": AcceleratorError,
        "MemoryError": MemoryError,
    }
    return kinds.get(spelling, RuntimeError)(OOM_SPELLINGS[spelling])


INFO = EncoderInfo(
    name="fake",
    id="fake",
    revision=None,
    weights_sha256="0" * 64,
    config_sha256="1" * 64,
    dtype="fp16",
    device="cpu",
    device_name="Fake T4",
    dimension=DIMENSION,
    full_dimension=DIMENSION,
    max_tokens=1000,
    normalized=False,
    query_prompt="",
    document_prompt="",
    attention="none",
)


@dataclass(frozen=True)
class Done:
    """A forward pass that has begun; its error may come late."""

    vectors: np.ndarray
    error: Exception | None = None

    def result(self) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return self.vectors


@dataclass(frozen=True)
class FakeModel:
    """Vectors that tell which ids they were made from.

    Attributes:
        limit_tokens: Padded tokens that fit its memory.
        spelling: How it says that more do not.
        late: Whether it says so only when the result is asked for.
        seconds: Of a forward pass.
        extra: Vectors that it returns too many (or too few).
        once: A file; while it is there, ``DIE_ONCE`` removes it and dies.
        reads_tokens: Whether it takes token ids, else texts.
        log: A file that gets a line a forward pass.
    """

    limit_tokens: int = 1 << 40
    spelling: str = "OutOfMemoryError"
    late: bool = False
    seconds: float = 0.0
    extra: int = 0
    once: Path | None = None
    reads_tokens: bool = True
    log: Path | None = None
    info: EncoderInfo = INFO

    def submit(self, ids: Sequence[np.ndarray]) -> Done:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {len(ids)} {max(map(len, ids))}\n")
        time.sleep(self.seconds)
        self._misbehave({int(item[0]) for item in ids})
        if max(map(len, ids)) * len(ids) > self.limit_tokens:
            if not self.late:
                raise oom(self.spelling)
            return Done(np.empty(0), oom(self.spelling))
        vectors = np.array([vector_of(item) for item in ids], dtype=np.float32)
        for index, item in enumerate(ids):
            if item[0] == NAN_ALWAYS or (item[0] == NAN and self.info.dtype != "fp32"):
                vectors[index, 0] = np.nan
        return Done(np.resize(vectors, (len(ids) + self.extra, DIMENSION)))

    def submit_texts(self, texts: Sequence[str]) -> Done:
        return self.submit([np.array(ids_of(text)) for text in texts])

    def _misbehave(self, first: set[int]) -> None:
        if DIE in first:
            os.kill(os.getpid(), signal.SIGKILL)
        if DIE_ONCE in first and self.once is not None and self.once.exists():
            self.once.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if HANG in first:
            time.sleep(3600)
        if LOSE_DEVICE in first:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered\nand more")
        if FAIL in first:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)")


def load(model: FakeModel) -> FakeModel:
    """As a worker loads it: ``partial(load, FakeModel(...))``."""
    return model


def exact(model: FakeModel) -> FakeModel:
    """The same model in fp32."""
    return replace(model, info=replace(model.info, dtype="fp32"))


class Locked(QembedError):
    """An error that cannot be sent to another process."""

    def __init__(self, message: str, lock: object) -> None:
        super().__init__(message)
        self.lock = lock


def load_differing() -> FakeModel:
    """Load a model that has other weights in every process."""
    numbers = np.random.default_rng(os.getpid()).standard_normal(64)
    return FakeModel(info=replace(INFO, probe=tuple(numbers.tolist())))


def load_dying(model: FakeModel, deaths: Path, times: int) -> FakeModel:
    """Loading kills the process, the first ``times`` times."""
    with deaths.open("a") as file:
        file.write("x")
    if deaths.stat().st_size <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return model


def load_slowly(model: FakeModel, log: Path) -> FakeModel:
    """Loading takes a moment, and writes down when it began and ended."""
    for word in ("begin", "end"):
        with log.open("a") as file:
            file.write(f"{word} {os.getpid()}\n")
        time.sleep(0.3)
    return model


def load_chatty(model: FakeModel) -> FakeModel:
    """Loading prints, as libraries do."""
    print("noise from python")  # noqa: T201
    os.write(1, b"noise from below\n")
    return model


def load_failing(kind: str) -> FakeModel:
    """Loading raises."""
    if kind == "known":
        raise QembedError("the model is broken", where="model.safetensors", remedy="fetch it again")
    if kind == "locked":
        raise Locked("the model is locked", lambda: None)
    raise OSError("no such device")


@dataclass(frozen=True)
class Ran:
    """What a run with fakes has come to."""

    encoded: Encoded
    vectors: np.ndarray
    done: np.ndarray
    notes: list[str]


def encode(
    texts: Sequence[str],
    folder: Path,
    model: FakeModel = FakeModel(),
    *,
    workers: int = 0,
    plan: RunPlan | None = None,
    load_model: Callable[[], Any] | None = None,
    stall_seconds: float = 30.0,
    during: Callable[[ProcessPool], object] = lambda _: None,
    **options: Any,
) -> Ran:
    """A run of the engine over texts in ``folder``: ``workers`` processes, or inside this one when 0."""
    rows = Rows.create(folder, len(texts), DIMENSION)
    load_model = load_model or partial(load, model)
    specs = [
        WorkerSpec(f"cpu#{number}", load_model, partial(load, exact(model)), folder, len(texts))
        for number in range(workers or 1)
    ]
    notes: list[str] = []
    pool: InlinePool | ProcessPool = InlinePool(specs[0])
    if workers:
        pool = ProcessPool(specs, note=notes.append, stall_seconds=stall_seconds)
    with closing(pool):
        if isinstance(pool, ProcessPool):
            during(pool)
        encoded = encode_rows(
            pool,
            rows,
            lambda first, last: texts[first:last],
            options.pop("tokenizer", None) or FakeTokenizer(),
            plan or RunPlan(1000, 64, window_texts=100, reads_tokens=model.reads_tokens),
            folder,
            lengths=options.pop("lengths", np.zeros(len(texts), dtype=np.int64)),
            **options,
        )
    return Ran(encoded, np.array(rows.vectors), rows.done(), notes)


def some_texts(count: int, seed: int = 0, longest: int = 20) -> list[str]:
    """Texts of 1 to ``longest`` ids below 900."""
    random = np.random.default_rng(seed)
    return [
        " ".join(map(str, random.integers(1, 900, random.integers(1, longest + 1)))) for _ in range(count)
    ]


def expected(texts: Sequence[str]) -> np.ndarray:
    """The vectors that the fakes give."""
    return np.array([vector_of(ids_of(text)) for text in texts], dtype=np.float32).reshape(-1, DIMENSION)


def vector_of(ids: Sequence[int] | np.ndarray) -> list[float]:
    """What the fake makes of a text: length, sum, first and last id."""
    return [len(ids), float(np.sum(ids)), float(ids[0]), float(ids[-1])]


def ids_of(text: str) -> list[int]:
    """A text is its ids, separated by spaces."""
    return [int(word) for word in text.split()]


class FakeTokenizer:
    """Texts are numbers; cut at ``max_tokens``."""

    max_tokens = 1000
    document_prompt = ""

    def __init__(self, on_encode: Callable[[int], None] = lambda _: None) -> None:
        self.on_encode = on_encode

    def encode(self, texts: Sequence[str], max_tokens: int = 1000) -> Tokenized:
        self.on_encode(len(texts))
        cut = [ids_of(text)[:max_tokens] for text in texts]
        offsets = np.zeros(len(cut) + 1, dtype=np.int64)
        np.cumsum([len(item) for item in cut], out=offsets[1:])
        ids = np.array([number for item in cut for number in item], dtype=np.int32)
        return Tokenized(self.count(texts), ids, offsets)

    def count(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([len(ids_of(text)) for text in texts], dtype=np.int64)
