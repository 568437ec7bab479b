"""Out of memory, in all its spellings; and errors after which a process has lost its device."""

from __future__ import annotations

import gc
import sys

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


def release_memory() -> None:
    """Give back what a failed batch has left behind.

    Works only after the ``except`` block is left: until then the exception holds the batch's tensors.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
