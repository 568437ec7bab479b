"""One encoder around SentenceTransformer: prompts by role, truncation counted, float32 out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qembed.errors import QembedError, UsageError
from qembed.models.device import Precision, device_name, pick_device, pick_precision
from qembed.models.files import Prompts, Role, prompts_of
from qembed.models.resolve import ModelSource, fetch, fetch_code, resolve_model
from qembed.models.tokens import TokenCounter, count_ids_with, require_tokenizer
from qembed.models.trust import check_trust, code_repositories
from qembed.models.weights import config_sha256, require_safetensors, weights_sha256
from qembed.records import Lengths, Vectors


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How a model is used.

    Attributes:
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: Of weights and arithmetic; ``auto`` is fp32 on a CPU, bf16 on a GPU that has it
            (compute capability 8 or more), else fp16. Vectors are float32 always.
        max_length: Tokens read of each text; what the model was published with when None.
        truncate_dim: Keep the first dimensions only (Matryoshka); all when None.
        normalize: Scale each vector to length 1.
        query_prompt: Instead of the model's own; None keeps that.
        document_prompt: Likewise.
        trust_remote_code: Allow code that the model brings with it.
        revision: Commit, tag or branch on the hub.
        code_revision: Commit of another repository that holds the model's code.
    """

    device: str = "auto"
    precision: Precision = "auto"
    max_length: int | None = None
    truncate_dim: int | None = None
    normalize: bool = True
    query_prompt: str | None = None
    document_prompt: str | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    code_revision: str | None = None


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What was loaded: everything that decides a vector, as the manifest stores it.

    Attributes:
        name: The model as the user named it.
        id: The hub's id, or the folder's path.
        revision: Commit on the hub; None for local and bundled models.
        weights_sha256: Hash of the weights (``models.weights``).
        config_sha256: Hash of what lies beside them: tokenizer, prompts, pooling.
        dtype: Of weights and arithmetic: ``fp32``, ``fp16`` or ``bf16``.
        device: E.g. ``cpu`` or ``cuda:0``.
        device_name: E.g. ``Tesla T4``.
        dimension: Of the vectors that come out.
        full_dimension: Of the model, before ``truncate_dim``.
        max_tokens: Read of each text; the rest is cut and counted.
        normalized: Every vector has length 1.
        query_prompt: Put before queries.
        document_prompt: Put before documents.
        attention: Attention kernel that transformers chose, e.g. ``sdpa``.
        differences: Where the loaded model says otherwise than the catalog; the model wins.
    """

    name: str
    id: str
    revision: str | None
    weights_sha256: str
    config_sha256: str
    dtype: str
    device: str
    device_name: str
    dimension: int
    full_dimension: int
    max_tokens: int
    normalized: bool
    query_prompt: str
    document_prompt: str
    attention: str
    differences: tuple[str, ...] = field(default=())


class Encoder:
    """Texts in, float32 vectors out. One forward pass a call: how texts are batched is the engine's work.

    Attributes:
        info: What was loaded.
    """

    def __init__(self, model: Any, info: EncoderInfo) -> None:
        self._model = model
        self.info = info
        self._prompts = Prompts(info.query_prompt, info.document_prompt)
        self._counter = TokenCounter(count_ids_with(model.tokenizer), info.max_tokens, info.document_prompt)

    @classmethod
    def load(cls, model: str | ModelSource, options: EncoderOptions = EncoderOptions()) -> Encoder:
        """Load a model; nothing is downloaded but safetensors, no code runs but the libraries'.

        Raises:
            ModelUnreachable: It is neither here nor on the hub.
            UsageError: Pickled weights, untrusted code, or an option that the model cannot serve.
            QembedError: Its files are damaged, or the libraries do not know its architecture.
        """
        source = model if isinstance(model, ModelSource) else resolve_model(model, revision=options.revision)
        source = fetch(source)
        assert source.path is not None
        require_safetensors(source.path)
        require_tokenizer(source.path)
        trusted = check_trust(
            source,
            trust_remote_code=options.trust_remote_code,
            revision=options.revision,
            code_revision=options.code_revision,
        )
        if trusted and options.code_revision:
            for repository in code_repositories(source.path):
                fetch_code(repository, options.code_revision)
        device = pick_device(options.device)
        dtype = pick_precision(options.precision, device)
        loaded = _load(source, options, device, dtype, trusted)
        _set_max_length(loaded, options.max_length)
        return cls(loaded, _describe(loaded, source, options, dtype))

    def count(self, texts: Sequence[str], role: Role = "document") -> Lengths:
        """Tokens of each text before truncation, special tokens and prompt included; int64 (texts,)."""
        return self._counter.count(texts, self._prompts.of(role))

    def encode(self, texts: Sequence[str], role: Role = "document") -> Vectors:
        """One forward pass over all ``texts``; float32 (texts, dimension).

        Raises:
            torch.OutOfMemoryError and its kin: The batch is too large for the device.
        """
        import torch

        if not texts:
            return np.empty((0, self.info.dimension), dtype=np.float32)
        with torch.inference_mode():
            features = self._model.preprocess(list(texts), prompt=self._prompts.of(role) or None)
            device = self._model.device
            features = {
                key: value.to(device) if isinstance(value, torch.Tensor) else value
                for key, value in features.items()
            }
            vectors = self._model(features)["sentence_embedding"].float()
            vectors = vectors[:, : self.info.dimension]
            if self.info.normalized:
                # After cutting: the first dimensions of a unit vector are shorter than 1.
                vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
            result: Vectors = np.ascontiguousarray(vectors.cpu().numpy(), dtype=np.float32)
            return result


def _load(source: ModelSource, options: EncoderOptions, device: str, dtype: str, trusted: bool) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    code = {"code_revision": options.code_revision} if trusted and options.code_revision else {}
    try:
        with _quiet_transformers():
            model = SentenceTransformer(
                str(source.path),
                device=device,
                trust_remote_code=trusted,
                local_files_only=True,
                # Without dtype transformers 5 keeps the checkpoint's: fp32 for a model of 28 GB.
                model_kwargs=_KeepsCodeRevision(dtype=dtypes[dtype], use_safetensors=True, **code),
                config_kwargs=code,
                processor_kwargs=code,
            )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # files that are damaged, missing or too new fail in many ways
        reason = str(error).strip().partition("\n")[0] or "no details"
        raise QembedError(
            f"the model {source.id!r} cannot be loaded: {type(error).__name__}: {reason}",
            where=str(source.path),
            remedy="fetch its files again, or upgrade transformers if the model is newer than it",
        ) from error
    return model.to(dtypes[dtype]).eval()  # modules behind the transformer do not read model_kwargs


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar for a few files, no report on weights that the architecture does not use."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _config(model: Any) -> Any:
    """The transformer's configuration; None for models without one (static embeddings)."""
    return getattr(getattr(model[0], "auto_model", None), "config", None)


class _KeepsCodeRevision(dict[str, Any]):
    """sentence-transformers takes ``code_revision`` out when it looks up the first module's class.

    transformers would then load the model's code from the branch ``main``, which nobody has pinned.
    """

    def pop(self, key: str, *default: Any) -> Any:
        return self.get(key, *default) if key == "code_revision" else super().pop(key, *default)


def _set_max_length(model: Any, max_length: int | None) -> None:
    if max_length is None:
        return
    limit = getattr(_config(model), "max_position_embeddings", None) or model.max_seq_length
    if not 4 <= max_length <= limit:
        raise UsageError(
            f"--max-length {max_length} does not fit this model", remedy=f"give 4 to {limit}, or leave it out"
        )
    model.max_seq_length = max_length


def _describe(model: Any, source: ModelSource, options: EncoderOptions, dtype: str) -> EncoderInfo:
    assert source.path is not None
    full = model.get_embedding_dimension()
    if full is None:
        full = int(model.encode(["?"]).shape[1])
    dimension = options.truncate_dim or full
    if not 1 <= dimension <= full:
        raise UsageError(f"--truncate-dim {dimension} does not fit: the model has {full} dimensions")
    prompts = prompts_of(source)
    return EncoderInfo(
        name=source.name if source.kind != "local" else source.id,
        id=source.id,
        revision=source.revision,
        weights_sha256=weights_sha256(source.path),
        config_sha256=config_sha256(source.path),
        dtype=dtype,
        device=str(model.device),
        device_name=device_name(str(model.device)),
        dimension=dimension,
        full_dimension=full,
        max_tokens=int(model.max_seq_length),
        normalized=options.normalize or any(type(module).__name__ == "Normalize" for module in model),
        query_prompt=prompts.query if options.query_prompt is None else options.query_prompt,
        document_prompt=prompts.document if options.document_prompt is None else options.document_prompt,
        attention=str(getattr(_config(model), "_attn_implementation", "unknown")),
        differences=_differences(model, source, prompts, full, options),
    )


def _differences(
    model: Any, source: ModelSource, prompts: Prompts, dimension: int, options: EncoderOptions
) -> tuple[str, ...]:
    card = source.card
    if card is None:
        return ()
    pairs = [
        ("dimensions", card.dimensions, dimension),
        ("query prompt", card.query_prompt, prompts.query),
        ("document prompt", card.document_prompt, prompts.document),
        ("parameters", card.parameters, sum(parameter.numel() for parameter in model.parameters())),
    ]
    if options.max_length is None:
        pairs.append(("max tokens", card.max_tokens, int(model.max_seq_length)))
    found = [
        f"{name}: the catalog says {said!r}, the model {is_!r}" for name, said, is_ in pairs if said != is_
    ]
    cut = options.truncate_dim
    if cut and cut != dimension and cut not in card.matryoshka:
        found.append(
            f"truncate_dim {cut}: the model was not trained for it (Matryoshka: {list(card.matryoshka)})"
        )
    return tuple(found)
