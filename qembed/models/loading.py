"""Loads a model of sentence-transformers as the options say: safetensors only, and no code unasked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from qembed.errors import QembedError, UsageError
from qembed.models.device import Precision, compute_dtype, cpu_has_bf16, pick_device, pick_precision
from qembed.models.resolve import ModelSource, fetch_code
from qembed.models.tokens import require_tokenizer
from qembed.models.trust import check_trust, code_repositories
from qembed.models.weights import require_safetensors, stored_in_16_bits, weight_bytes

LARGE_PARAMETERS = 1_000_000_000
"""Beyond this a model's memory on a CPU comes before its speed."""


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How a model is used.

    Attributes:
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: Of weights and arithmetic (``models.device.pick_precision``). ``int8`` and ``nf4`` quantise
            the linear layers by bitsandbytes while loading. Vectors are float32 always.
        shard: Spread the layers over all GPUs, for a model that fits none of them.
        kernels: ``auto`` takes the faster ones of ``models.cpu.accelerate`` on a CPU if they give the same
            vectors; ``plain`` leaves the libraries' own.
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
    shard: bool = False
    kernels: Literal["auto", "plain"] = "auto"
    max_length: int | None = None
    truncate_dim: int | None = None
    normalize: bool = True
    query_prompt: str | None = None
    document_prompt: str | None = None
    trust_remote_code: bool = False
    revision: str | None = None
    code_revision: str | None = None


def load_model(
    source: ModelSource, options: EncoderOptions, library_class: str = "SentenceTransformer"
) -> tuple[Any, str, str]:
    """The model, ready to run; the device; and the precision.

    Args:
        source: With its files on this machine.
        options: Device, precision, lengths and trust.
        library_class: Of sentence-transformers: ``SentenceTransformer``, ``CrossEncoder``,
            ``MultiVectorEncoder``.

    Raises:
        UsageError: Pickled weights, untrusted code, or an option that the model or the device cannot serve.
        QembedError: Its files are damaged, or the libraries do not know its architecture.
    """
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
    device = _first_of_all_gpus() if options.shard else pick_device(options.device)
    dtype = precision_of(source, options, device)
    model = _load(source, options, device, dtype, trusted, library_class)
    config = transformer_config(model)
    if getattr(config, "use_cache", False):
        config.use_cache = False  # a decoder would keep the keys and values of every layer for a next token
    _set_max_length(model, options.max_length)
    return model, device, dtype


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
    """The transformer's configuration; None for models without one (static embeddings)."""
    return getattr(getattr(model[0], "auto_model", None), "config", None)


def _load(
    source: ModelSource,
    options: EncoderOptions,
    device: str,
    dtype: str,
    trusted: bool,
    library_class: str,
) -> Any:
    import torch

    library = _library_class(library_class)

    class Placed(library):  # type: ignore[misc, valid-type]
        """Stays where accelerate and bitsandbytes put it: sentence-transformers 5 moves it to one device."""

        def to(self, *_: Any, **__: Any) -> Any:
            return self

    compute = getattr(torch, compute_dtype(dtype, device))
    placement = _placement(device, dtype, compute, shard=options.shard)
    code = {"code_revision": options.code_revision} if trusted and options.code_revision else {}
    try:
        with _quiet_transformers():
            model = (Placed if placement else library)(
                str(source.path),
                device=None if placement else device,
                trust_remote_code=trusted,
                local_files_only=True,
                # Without dtype transformers 5 keeps the checkpoint's: fp32 for a model of 28 GB.
                model_kwargs=_KeepsCodeRevision(dtype=compute, use_safetensors=True, **placement, **code),
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
    for number, module in enumerate(model):  # modules behind the transformer do not read model_kwargs
        if number or not placement:
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


def _placement(device: str, dtype: str, compute: Any, *, shard: bool) -> dict[str, Any]:
    """What transformers needs to know to quantise and to place the weights while it reads them."""
    where: Any = {"": device}
    if shard:
        where = "balanced"  # layers in order, the same share on every GPU
    elif dtype not in ("int8", "nf4"):
        return {}
    if dtype not in ("int8", "nf4"):
        return {"device_map": where}
    from transformers import BitsAndBytesConfig

    if dtype == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return {"device_map": where, "quantization_config": quantization}


def _first_of_all_gpus() -> str:
    import torch

    found = torch.cuda.device_count()
    if found < 2:
        raise UsageError(
            f"--shard spreads a model over several GPUs and {found} are there",
            remedy="leave --shard out; --precision nf4 needs a quarter of the memory of fp16",
        )
    return "cuda:0"


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


class _KeepsCodeRevision(dict[str, Any]):
    """sentence-transformers takes ``code_revision`` out when it looks up the first module's class.

    transformers would then load the model's code from the branch ``main``, which nobody has pinned.
    """

    def pop(self, key: str, *default: Any) -> Any:
        return self.get(key, *default) if key == "code_revision" else super().pop(key, *default)


def _set_max_length(model: Any, max_length: int | None) -> None:
    if max_length is None:
        return
    limit = getattr(transformer_config(model), "max_position_embeddings", None) or model.max_seq_length
    if not 4 <= max_length <= limit:
        raise UsageError(
            f"--max-length {max_length} does not fit this model", remedy=f"give 4 to {limit}, or leave it out"
        )
    model.max_seq_length = max_length
