"""Out of memory, in all its spellings; nothing else counts as it."""

from __future__ import annotations

import gc
import sys

_SPELLINGS = (
    "out of memory",  # CUDA, HIP, MPS, and torch.AcceleratorError
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_",  # cuDNN reports a failed allocation under several names
    "can't allocate memory",  # torch's allocator for CPUs
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the host, had no memory left for a batch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(spelling in str(error) for spelling in _SPELLINGS)


def release_memory() -> None:
    """Give back what a failed batch has left behind.

    Works only after the ``except`` block is left: until then the exception holds the batch's tensors.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
