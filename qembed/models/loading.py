"""Loads a model of sentence-transformers as the options say: safetensors only, and no code unasked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from qembed.errors import QembedError, UsageError
from qembed.models.as_published import check_modules, modules_of
from qembed.models.device import Precision, compute_dtype, cpu_has_bf16, pick_device, pick_precision
from qembed.models.features import on_device
from qembed.models.fitting import (
    POOLINGS,
    Pooling,
    networks_of,
    set_max_length,
    set_pad_token,
    set_pooling,
)
from qembed.models.gpu_attention import needs_repeated_keys, use_repeated_keys
from qembed.models.load_report import check_weights, load_reports
from qembed.models.placement import first_of_all_gpus, move_around_networks, placement_of, staying
from qembed.models.resolve import ModelSource, fetch_code
from qembed.models.tokens import require_tokenizer
from qembed.models.trust import check_trust, code_repositories
from qembed.models.weights import require_weights, stored_in_16_bits, weight_bytes

LARGE_PARAMETERS = 1_000_000_000
"""Beyond this a model's memory on a CPU comes before its speed."""


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How a model is used.

    Attributes:
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: Precision of weights and arithmetic (``models.device.pick_precision``).
            For ``int8`` and ``nf4``, bitsandbytes quantises the linear layers at load. Vectors stay float32.
        shard: Spread the layers over all GPUs, for a model that fits none of them.
        pooling: How the states of tokens become one vector, for a transformer whose files do not say it.
        kernels: ``auto`` takes the faster ones of ``models.cpu.accelerate`` on a CPU if they give the same
            vectors; ``plain`` leaves the libraries' own.
        max_length: Tokens read of each text; what the model was published with when None.
        truncate_dim: Keep the first dimensions only (Matryoshka); all when None.
        normalize: Scale each vector to length 1. None: unless the model's files name another similarity than
            the cosine (``similarity_fn_name``).
        query_prompt: Instead of the model's own; None keeps that.
        document_prompt: Likewise.
        trust_remote_code: Allow code that the model brings with it.
        revision: Commit, tag or branch on the hub.
        code_revision: Commit of another repository that holds the model's code.
    """

    device: str = "auto"
    precision: Precision = "auto"
    shard: bool = False
    pooling: Pooling | None = None
    kernels: Literal["auto", "plain"] = "auto"
    max_length: int | None = None
    truncate_dim: int | None = None
    normalize: bool | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    code_revision: str | None = None


class Loaded(NamedTuple):
    """A model that is ready to run.

    Attributes:
        model: The sentence-transformers model.
        device: Where it runs; the first of several.
        dtype: Its precision.
        notes: What a user should know of how it was loaded, one sentence each.
    """

    model: Any
    device: str
    dtype: str
    notes: tuple[str, ...] = ()


def load_model(
    source: ModelSource, options: EncoderOptions, library_class: str = "SentenceTransformer"
) -> Loaded:
    """Load a model and make sure that it is the one that its files describe.

    Args:
        source: With its files on this machine.
        options: Device, precision, lengths and trust.
        library_class: Class of sentence-transformers: ``SentenceTransformer``, ``CrossEncoder``,
            ``MultiVectorEncoder``.

    Raises:
        UsageError: Pickled weights, untrusted code, or an option that the model or the device cannot serve.
        QembedError: Its files are damaged or lack weights, or the libraries do not know its architecture.
    """
    assert source.path is not None
    require_weights(source.path)
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
    pooling = _pooling(source, options) if library_class == "SentenceTransformer" else None
    device = first_of_all_gpus() if options.shard else pick_device(options.device)
    dtype = precision_of(source, options, device)
    with load_reports() as reports:
        model = _load(source, options, device, dtype, trusted, library_class)
    check_modules(model, source.path, model_id=source.id, more=library_class == "MultiVectorEncoder")
    if pooling:
        set_pooling(model, pooling)
    if library_class != "CrossEncoder":  # where the head of a decoder finds the last token by it
        set_pad_token(model, source.id)
    notes = set_max_length(model, options.max_length, source.id)
    notes += check_weights(
        reports, partial(_all_outputs, model, library_class), model_id=source.id, where=str(source.path)
    )
    for network in networks_of(model):
        _without_cache(network.config)
        if needs_repeated_keys(network, device):
            use_repeated_keys(network)
    return Loaded(model, device, dtype, notes)


def _pooling(source: ModelSource, options: EncoderOptions) -> str | None:
    """How to pool the states of a transformer whose files do not say it; None where they do.

    Raises:
        UsageError: Nobody says it; or the user says it of a model whose files do.
    """
    assert source.path is not None
    if modules_of(source.path):
        if options.pooling:
            raise UsageError(
                f"the files of {source.id!r} say how it pools",
                remedy="leave --pooling out",
                where=str(source.path),
            )
        return None
    pooling = options.pooling or (source.card.pooling if source.card else None)
    if pooling is None:
        raise UsageError(
            f"{source.id!r} is a transformer without modules.json: nothing says how the states of its tokens "
            "become one vector",
            where=str(source.path),
            remedy=f"name it with --pooling ({', '.join(POOLINGS)}), as the model was trained",
        )
    return pooling


def _all_outputs(model: Any, library_class: str) -> Any:
    """All that the model computes of one text, or of one pair, as one row of numbers."""
    import torch

    pair = library_class == "CrossEncoder"
    task = {} if pair else {"task": "document"}
    features = model.preprocess([("a query", "a text")] if pair else ["a text"], **task)
    with torch.inference_mode():
        made = model(on_device(features, model.device), **task)
    names = ("sentence_embedding", "token_embeddings", "scores")
    return torch.cat([made[name].float().flatten().cpu() for name in names if name in made])


def _without_cache(config: Any) -> None:
    if getattr(config, "use_cache", False):
        config.use_cache = False  # a decoder would keep the keys and values of every layer for a next token


def precision_of(source: ModelSource, options: EncoderOptions, device: str) -> str:
    """``pick_precision`` for a model: ``auto`` takes int16 only where memory does not speak against it.

    Weights are read as float32 for int16: those that are stored in 16 bits would grow, and those of a large
    model take twice what bfloat16 takes. Where the files are not here yet, the catalog says how it is.

    Raises:
        UsageError: As ``pick_precision``; or int16 with the plain kernels.
    """
    dtype = pick_precision(options.precision, device)
    if dtype != "int16":
        return dtype
    if options.precision == "int16":
        if options.kernels == "plain":
            raise UsageError("int16 needs the compiled kernels", remedy="kernels='auto'")
        return dtype
    if options.kernels == "auto" and not _better_in_16_bits(source):
        return dtype
    return "bf16" if cpu_has_bf16() else "fp32"


def _better_in_16_bits(source: ModelSource) -> bool:
    if source.path is not None:
        return stored_in_16_bits(source.path) or weight_bytes(source.path) > 4 * LARGE_PARAMETERS
    card = source.card
    return card is not None and (card.published_dtype != "fp32" or card.parameters > LARGE_PARAMETERS)


def transformer_config(model: Any) -> Any:
    """The configuration of the transformer; None for models without one (static embeddings)."""
    return next((network.config for network in networks_of(model)), None)


def _load(
    source: ModelSource,
    options: EncoderOptions,
    device: str,
    dtype: str,
    trusted: bool,
    library_class: str,
) -> Any:
    import torch

    compute = getattr(torch, compute_dtype(dtype, device))
    placement = placement_of(device, dtype, compute, shard=options.shard)
    library = _library_class(library_class)
    code = {"code_revision": options.code_revision} if trusted and options.code_revision else {}
    with explained_failures(source), _no_progress_bars():
        model = (staying(library) if placement else library)(
            str(source.path),
            device=None if placement else device,
            trust_remote_code=trusted,
            local_files_only=True,
            # Without dtype transformers 5 keeps the checkpoint's: fp32 for a model of 28 GB.
            model_kwargs=_KeepsCodeRevision(dtype=compute, use_safetensors=True, **placement, **code),
            config_kwargs=code,
            processor_kwargs=code,
        )
    for module in model:  # what is no transformer does not read model_kwargs
        if placement:
            move_around_networks(module, device, compute)
        else:
            module.to(device=device, dtype=compute)
    return model.eval()


def _library_class(name: str) -> Any:
    import sentence_transformers

    found = getattr(sentence_transformers, name, None)
    if found is None:
        raise UsageError(
            f"this sentence-transformers ({sentence_transformers.__version__}) has no {name}",
            remedy="pip install -U sentence-transformers",
        )
    return found


@contextmanager
def explained_failures(source: ModelSource) -> Iterator[None]:
    """Say of which model the libraries failed; files that are damaged, missing or too new fail in many ways.

    Raises:
        QembedError: For whatever they raise, except for lack of memory.
    """
    import torch

    try:
        yield
    except (QembedError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "CUDA" in str(error):  # the device, not the model: the engine knows what to do
            raise
        reason = str(error).strip().partition("\n")[0] or "no details"
        raise QembedError(
            f"the model {source.id!r} cannot be loaded: {type(error).__name__}: {reason}",
            where=str(source.path),
            remedy="fetch its files again, or upgrade transformers if the model is newer than it",
        ) from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """A bar per file says nothing: the files are here."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


class _KeepsCodeRevision(dict[str, Any]):
    """sentence-transformers takes ``code_revision`` out when it looks up the first module's class.

    transformers would then load the model's code from the branch ``main``, which nobody has pinned.
    """

    def pop(self, key: str, *default: Any) -> Any:
        return self.get(key, *default) if key == "code_revision" else super().pop(key, *default)
