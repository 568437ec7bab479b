"""One class for each library that ``peers.py`` compares, as its documentation says it is used at its best.

``__init__`` loads (untimed), ``configure`` takes a setting to try (untimed), ``encode`` is what is timed:
texts in, unit vectors in the order of the texts out; tokenising belongs to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np


def by_length(texts: Sequence[str]) -> list[int]:
    """Positions, longest text first: for peers that take batches as the texts come."""
    return sorted(range(len(texts)), key=lambda position: -len(texts[position]))


def in_order(vectors: Any, order: list[int]) -> np.ndarray:
    """Vectors of the texts at ``order`` back in the order of the texts; float32."""
    stacked = np.asarray(vectors, dtype=np.float32)
    result = np.empty_like(stacked)
    result[order] = stacked
    return result


class SentenceTransformers:
    """``SentenceTransformer.encode`` on one of its backends; it sorts by length itself.

    ``slice_texts`` calls it for so many texts at a time (the loop that users write); ``processes`` starts
    its pool.
    """

    packages = ("sentence-transformers", "torch", "transformers", "onnxruntime", "openvino")

    def __init__(
        self,
        model: Path,
        exports: Path,
        backend: str = "torch",
        dtype: str | None = None,
        ov_config: dict[str, str] | None = None,
        slice_texts: int | None = None,
        processes: int = 0,
    ) -> None:
        self.folder = model if backend == "torch" else exports / backend
        self.backend, self.slice_texts = backend, slice_texts
        self.model_kwargs: dict[str, Any] = {"dtype": dtype} if dtype else {}
        if ov_config is not None:
            self.model_kwargs["ov_config"] = ov_config
        self.batch_size, self.file, self.pool = 32, "", None
        if backend != "onnx":
            self.model = self._load()
        if processes:
            self.pool = self.model.start_multi_process_pool(["cpu"] * processes)

    def configure(self, batch_size: int = 32, file: str = "", chunk_size: int | None = None) -> None:
        self.batch_size, self.chunk_size = batch_size, chunk_size
        if file and file != self.file:
            self.model_kwargs["file_name"] = f"onnx/{file}"
            self.model, self.file = self._load(), file

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        step = self.slice_texts or len(texts)
        more = {"pool": self.pool, "chunk_size": self.chunk_size} if self.pool else {}
        parts = [
            self.model.encode(
                list(texts[start : start + step]),
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
                **more,
            )
            for start in range(0, len(texts), step)
        ]
        return np.concatenate(parts)

    def _load(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(self.folder),
            backend=self.backend,
            device="cpu",
            local_files_only=True,
            model_kwargs=dict(self.model_kwargs),
        )


class OpenVino:
    """OpenVINO without a framework around it: several batches in flight, each on threads of its own."""

    packages = ("openvino", "tokenizers")

    def __init__(self, model: Path, exports: Path, precision: str = "bf16") -> None:
        import openvino
        from tokenizers import Tokenizer

        core = openvino.Core()
        read = core.read_model(exports / "openvino" / "openvino" / "openvino_model.xml")
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        self.queue = openvino.AsyncInferQueue(core.compile_model(read, "CPU", settings))
        self.queue.set_callback(self._take)
        self.inputs = {tensor.any_name for tensor in read.inputs}
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.no_padding()
        self.batch_size = 32

    def configure(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda position: -len(ids[position]))
        self.vectors = np.empty((len(texts), 384), dtype=np.float32)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            tokens = np.zeros((len(batch), len(ids[batch[0]])), dtype=np.int64)
            mask = np.zeros_like(tokens)
            for row, position in enumerate(batch):
                tokens[row, : len(ids[position])] = ids[position]
                mask[row, : len(ids[position])] = 1
            fields = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
            self.queue.start_async({k: v for k, v in fields.items() if k in self.inputs}, (batch, mask))
        self.queue.wait_all()
        return self.vectors

    def _take(self, request: Any, work: tuple[list[int], np.ndarray]) -> None:
        batch, mask = work
        states = request.get_output_tensor(0).data
        sums = np.matmul(mask[:, None, :].astype(np.float32), states)[:, 0]
        # The mean's divisor cancels in the normalisation.
        self.vectors[batch] = sums / np.linalg.norm(sums, axis=1, keepdims=True)


class FastEmbed:
    """fastembed's ``TextEmbedding`` over the exported model; it does not sort, so it gets sorted texts."""

    packages = ("fastembed", "onnxruntime")

    def __init__(self, model: Path, exports: Path) -> None:
        self.folder = exports / "fastembed"
        self.models: dict[str, Any] = {}

    def configure(self, batch_size: int, file: str) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        self.batch_size, self.file = batch_size, file
        if file in self.models:  # a name can be registered once only
            return
        TextEmbedding.add_custom_model(
            model=f"local/{file}",
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf="local/minilm"),
            dim=384,
            model_file=f"onnx/{file}",
        )
        self.models[file] = TextEmbedding(f"local/{file}", specific_model_path=str(self.folder))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        order = by_length(texts)
        vectors = list(self.models[self.file].embed([texts[i] for i in order], batch_size=self.batch_size))
        return in_order(vectors, order)


class Infinity:
    """infinity-emb's ``AsyncEmbeddingEngine``; it sorts what waits in its queue by length itself."""

    packages = ("infinity-emb", "sentence-transformers", "torch", "transformers", "onnxruntime")

    def __init__(self, model: Path, exports: Path, engine: str = "torch", dtype: str = "float32") -> None:
        os.environ["INFINITY_ANONYMOUS_USAGE_STATS"] = "0"
        folder = model
        if engine == "optimum":
            # It finds a local export by a relative path only; its optimised graph goes to the hub's cache.
            os.chdir(exports / "infinity")
            os.environ["HF_HUB_CACHE"] = str(exports / "infinity_cache")
            folder = Path()
        self.loop = asyncio.new_event_loop()
        self.engine: Any = None
        self.options = {
            "model_name_or_path": str(folder),
            "engine": engine,
            "dtype": dtype,
            "device": "cpu",
            "pooling_method": "mean",
            "bettertransformer": False,  # gone from optimum 2; the model's own attention is fused
            "onnx_do_not_prefer_quantized": True,
            "compile": False,  # needs a C++ compiler, and time for each length
            "model_warmup": False,
        }

    def configure(self, batch_size: int) -> None:
        from infinity_emb import AsyncEmbeddingEngine, EngineArgs

        if self.engine is not None:
            self.loop.run_until_complete(self.engine.astop())
        arguments = EngineArgs(**self.options, batch_size=batch_size)
        self.engine = AsyncEmbeddingEngine.from_args(arguments)
        self.loop.run_until_complete(self.engine.astart())

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors, _usage = self.loop.run_until_complete(self.engine.embed(sentences=list(texts)))
        return np.asarray(vectors, dtype=np.float32)


class Qembed:
    """qembed's encoder and batches: in this process, or in ``processes`` of one thread each."""

    packages = ("qembed", "torch", "transformers")

    def __init__(self, model: Path, exports: Path, precision: str = "fp32") -> None:
        from qembed.models import load_tokenizer, resolve_model

        self.model, self.precision = str(model), precision
        self.counter = load_tokenizer(resolve_model(self.model))
        self.pool: ProcessPoolExecutor | None = None
        self.processes = 0

    def configure(self, token_budget: int, processes: int) -> None:
        self.token_budget = token_budget
        if processes == self.processes:
            return
        if self.pool is not None:
            self.pool.shutdown()
        self.processes = processes
        threads = max(1, (os.cpu_count() or 1) // processes)
        arguments = (self.model, self.precision, threads)
        if processes == 1:
            self.pool = None
            _load_encoder(*arguments)
            return
        self.pool = ProcessPoolExecutor(processes, get_context("spawn"), _load_encoder, arguments)
        list(self.pool.map(_encode, [["warm up"]] * processes))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        from qembed.engine.batching import make_batches

        items, lengths = self._tokenize(texts)
        batches = make_batches(lengths, token_budget=self.token_budget)
        work = [[items[position] for position in batch] for batch in batches]
        encoded = self.pool.map(_encode, work) if self.pool else map(_encode, work)
        return in_order(np.concatenate(list(encoded)), list(np.concatenate(batches)))

    def _tokenize(self, texts: Sequence[str]) -> tuple[Sequence[Any], Any]:
        """Token ids of each text where the encoder reads them, else the texts; and tokens of each."""
        from qembed.models import Encoder

        if not hasattr(Encoder, "submit"):
            return texts, np.minimum(self.counter.count(texts), self.counter.max_tokens)
        found = self.counter.encode(texts, self.counter.max_tokens)
        ids = [found.ids[a:b] for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
        return ids, np.diff(found.offsets)


_encoder: Any = None


def _load_encoder(model: str, precision: str, threads: int) -> None:
    global _encoder
    import torch

    from qembed.models import Encoder, EncoderOptions

    torch.set_num_threads(threads)
    _encoder = Encoder.load(model, EncoderOptions(device="cpu", precision=precision))


def _encode(batch: list[Any]) -> np.ndarray:
    if isinstance(batch[0], str):
        return np.asarray(_encoder.encode(batch))
    return np.asarray(_encoder.submit(batch).result())
