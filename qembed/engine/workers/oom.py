"""Out of memory, in all its spellings; and errors after which a process has lost its device."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qembed.errors import QembedError
from qembed.records import Vectors

if TYPE_CHECKING:
    from qembed.models import Encoder, Role

_SPELLINGS = (
    "out of memory",  # CUDA, HIP, MPS, and torch.AcceleratorError
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # cublasCreate found no memory for its handle
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "ALLOCATION_FAILED",  # cuDNN 9: ..._DEVICE_ALLOCATION_FAILED, ..._HOST_ALLOCATION_FAILED
    "can't allocate memory",  # torch's allocator for CPUs
)
_DEVICE_ERRORS = ("CUDA error", "HIP error", "CUBLAS_STATUS_", "CUDNN_STATUS_", "device-side assert")
_SAME_AGAIN = (
    "no kernel image",
    "invalid device ordinal",
    "driver version is insufficient",
    "unsupported PTX",
)
"""Errors of the installation: a new process would meet them at once."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the host, had no memory left for a batch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(spelling in str(error) for spelling in _SPELLINGS)


def is_device_lost(error: BaseException) -> bool:
    """Whether this process can use its device no more, while a new process could.

    After an illegal access, an ECC error, a failed launch or a device-side assert, every later call of the
    process fails with the same error.
    """
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    if any(spelling in str(error) for spelling in _SAME_AGAIN):
        return False
    named = type(error).__name__ == "AcceleratorError"
    return named or any(spelling in str(error) for spelling in _DEVICE_ERRORS)


def encode_in_parts(encoder: Encoder, texts: Sequence[str], role: Role) -> Vectors:
    """Encode texts in one forward pass, or in halves where the device has no memory for all at once.

    For the few texts outside of a run: queries, and the sample of ``verify``.

    Args:
        encoder: The model.
        texts: At least one.
        role: Query or document.

    Returns:
        float32 (texts, dimension).

    Raises:
        QembedError: A single text does not fit.
    """
    try:
        return encoder.encode(texts, role)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        failure = first_line(error)
    release_memory()
    if len(texts) == 1:
        raise QembedError(
            f"{encoder.info.device} has no memory left for a {role} of {len(texts[0]):,} characters",
            where=failure,
            remedy="see what else uses the device (nvidia-smi); or --device cpu, or a narrower --precision",
        )
    middle = len(texts) // 2
    return np.concatenate([encode_in_parts(encoder, part, role) for part in (texts[:middle], texts[middle:])])


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its name where it says nothing."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def release_memory() -> None:
    """Give back what a failed batch has left behind.

    Works only after the ``except`` block is left: until then the exception holds the batch's tensors.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
