"""Rerankers on the engine: texts in, a row of scores each, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from qembed.engine import (
    Encoded,
    InlinePool,
    Pool,
    ProcessPool,
    Rows,
    RunPlan,
    WorkerSpec,
    default_token_budget,
    encode_rows,
)
from qembed.engine.windows import Tokenizer
from qembed.engine.workers.model import Model
from qembed.errors import QembedError
from qembed.evaluation.rerank.reranker import Reranked
from qembed.models import EncoderOptions, ModelSource, list_devices
from qembed.models.info import EncoderInfo
from qembed.models.placement import loads_through_host
from qembed.progress import Progress
from qembed.records import Lengths, Vectors


class Loadable(Protocol):
    """What ``RerankEngine`` needs of a loaded model."""

    info: EncoderInfo
    reads_tokens: bool


M = TypeVar("M", bound=Loadable)


@dataclass(frozen=True, slots=True)
class Job(Generic[M]):
    """Texts to be scored.

    Attributes:
        texts: Gives those from first to last, last excluded, as ``tokenizer`` and the model take them; called
            from another thread.
        sizes: Characters of each; int64 (texts,).
        tokenizer: Gives their token ids.
        bind: Makes a model of the engine from a loaded one; can be pickled.
        dimension: Scores of a row.
        name: What a text is in an error, by its position.
    """

    texts: Callable[[int, int], Sequence[str]]
    sizes: npt.NDArray[np.int64]
    tokenizer: Tokenizer
    bind: Callable[[M], Model]
    dimension: int
    name: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a job has come to.

    Attributes:
        rows: float32 (texts, dimension); -inf where a text failed.
        lengths: Tokens of each text before truncation; int64 (texts,).
        encoded: The engine's account.
        failures: What could not be scored, one sentence each.
    """

    rows: Vectors
    lengths: Lengths
    encoded: Encoded
    failures: tuple[str, ...]


class RerankEngine(Generic[M]):
    """A model on one device in this process, or on several in processes of their own.

    Attributes:
        info: What is known of the model.
        reads_tokens: Whether the model takes token ids.
    """

    def __init__(
        self,
        load: Callable[[ModelSource, EncoderOptions], M],
        source: ModelSource,
        options: EncoderOptions,
        token_budget: int | None,
    ) -> None:
        """Load the model on the first device.

        Args:
            load: Loads a model of this kind; can be pickled.
            source: With its files on this machine.
            options: Device, precision, lengths and trust.
            token_budget: Padded tokens of a batch at most; by the device when None.

        Raises:
            UsageError, QembedError: As ``load``, or the device is not there.
        """
        self._load, self._source, self._options = load, source, options
        self._token_budget = token_budget
        self._devices = list_devices(options.device)[: 1 if options.shard else None]
        self._loaded: dict[bool, M] = {}
        model = self.model()
        self.info, self.reads_tokens = model.info, model.reads_tokens

    def model(self, *, exact: bool = False) -> M:
        """The model in this process, loaded once; ``exact`` in fp32."""
        if exact not in self._loaded:
            self._loaded[exact] = self._load(self._source, self._options_on(self._devices[0], exact=exact))
        return self._loaded[exact]

    def score(self, job: Job[M], *, here: bool = False, progress: Progress = Progress()) -> Scored:
        """Score all texts of a job.

        Args:
            job: At least one text.
            here: In this process, whatever the number of devices.
            progress: Receives the progress of every batch.

        Raises:
            QembedError: A score is not finite, in fp32 neither; nothing could be scored; or the workers
                cannot go on.
        """
        # Some systems do not remove files that are still mapped.
        with TemporaryDirectory(prefix="qembed-rerank-", ignore_cleanup_errors=True) as name:
            folder, alone = Path(name), here or len(self._devices) == 1
            pool = self._inline(job, folder) if alone else self._processes(job, folder, progress)
            with closing(pool):
                return self._fill(job, pool, folder, progress)

    def _fill(self, job: Job[M], pool: Pool, folder: Path, progress: Progress) -> Scored:
        count = len(job.sizes)
        lengths = np.zeros(count, dtype=np.int64)
        rows = Rows.create(folder, count, job.dimension)
        plan = RunPlan(
            max_tokens=self.info.max_tokens,
            token_budget=self._token_budget or default_token_budget(self.info.device),
            reads_tokens=self.reads_tokens,
        )
        encoded = encode_rows(
            pool,
            rows,
            job.texts,
            job.tokenizer,
            plan,
            folder,
            lengths=lengths,
            sizes=job.sizes,
            progress=progress,
        )
        found = np.array(rows.vectors)
        return Scored(found, lengths, encoded, self._failures(job, encoded, found))

    def _failures(self, job: Job[M], encoded: Encoded, rows: Vectors) -> tuple[str, ...]:
        """Let what did not fit go last; what is not a number has no place in any order."""
        for failure in encoded.failures:
            if failure.kind == "not-finite" or not encoded.texts:
                remedy = "take a smaller reranker, a smaller --max-length, or another --device"
                if failure.kind == "not-finite":
                    remedy = "try --precision fp32; where it is that already, the model itself is at fault"
                raise QembedError(
                    f"the reranker {self.info.id} has no score for {job.name(failure.row)}",
                    where=failure.reason.replace("its vector", "its score"),
                    remedy=remedy,
                )
            rows[failure.row] = -np.inf
        return tuple(f"{job.name(failure.row)}: {failure.reason}" for failure in encoded.failures)

    def _inline(self, job: Job[M], folder: Path) -> InlinePool:
        load = lambda: job.bind(self.model())  # noqa: E731
        exact = None if self.info.dtype == "fp32" else lambda: job.bind(self.model(exact=True))
        return InlinePool(WorkerSpec(self._devices[0], load, exact, folder, len(job.sizes)))

    def _processes(self, job: Job[M], folder: Path, progress: Progress) -> ProcessPool:
        import torch

        self._loaded.clear()  # the first device's worker needs its memory
        threads = max(1, torch.get_num_threads() // len(self._devices))
        specs = []
        for number, device in enumerate(self._devices):
            on_cpu = device == "cpu"
            load, exact = (
                partial(
                    _load_bound, self._load, self._source, self._options_on(device, exact=exact), job.bind
                )
                for exact in (False, True)
            )
            specs.append(
                WorkerSpec(
                    f"cpu#{number}" if on_cpu else device,
                    load,
                    None if self.info.dtype == "fp32" else exact,
                    folder,
                    len(job.sizes),
                    threads=threads if on_cpu else None,
                    load_alone=loads_through_host(device),
                )
            )
        return ProcessPool(specs, note=progress.note)

    def _options_on(self, device: str, *, exact: bool = False) -> EncoderOptions:
        options = replace(self._options, device=device)
        return replace(options, precision="fp32", shard=False) if exact else options


def _load_bound(
    load: Callable[[ModelSource, EncoderOptions], M],
    source: ModelSource,
    options: EncoderOptions,
    bind: Callable[[M], Model],
) -> Model:
    return bind(load(source, options))


def flat(candidates: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All candidates one after the other: the query of each, and its text; int64 (pairs,) both."""
    sizes = [len(positions) for positions in candidates]
    queries = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    texts = np.concatenate([np.empty(0, dtype=np.int64), *candidates]).astype(np.int64)
    return queries, texts


def apart(
    scores: npt.NDArray[np.float64], candidates: Sequence[npt.NDArray[np.int64]]
) -> list[npt.NDArray[np.float64]]:
    """The opposite of ``flat``: the scores of each query."""
    ends = np.cumsum([len(positions) for positions in candidates], dtype=np.int64)
    return list(np.split(scores, ends[:-1])) if len(candidates) else []


def distinct(items: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Every different item once, in order; and for each item, which of them it is."""
    numbers: dict[str, int] = {}
    places = [numbers.setdefault(item, len(numbers)) for item in items]
    return list(numbers), np.asarray(places, dtype=np.int64)


def sizes_of(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Characters of each text; int64 (texts,)."""
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def reranked(
    scored: Scored | None,
    scores: npt.NDArray[np.float64],
    candidates: Sequence[npt.NDArray[np.int64]],
    *,
    unique_pairs: int = 0,
    truncated_pairs: int = 0,
    started: float,
) -> Reranked:
    """The result of a reranker, from what the engine did; None where there was nothing to do.

    Args:
        scored: The engine's account.
        scores: Score of every pair, in the order of ``flat``; float64 (pairs,).
        candidates: As they were given.
        unique_pairs: Different pairs.
        truncated_pairs: Different pairs of which the model did not read all.
        started: ``perf_counter()`` at the beginning.
    """
    encoded = scored.encoded if scored else None
    return Reranked(
        scores=apart(scores, candidates),
        pairs=len(scores),
        unique_pairs=unique_pairs,
        truncated_pairs=truncated_pairs,
        tokens=encoded.tokens if encoded else 0,
        padded_tokens=encoded.padded_tokens if encoded else 0,
        splits=len(encoded.splits) if encoded else 0,
        seconds=perf_counter() - started,
        retried=len(encoded.retried) if encoded else 0,
        failures=scored.failures if scored else (),
    )
