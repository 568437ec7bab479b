"""What counts as out of memory, in torch's own classes and words; and what does not."""

from __future__ import annotations

import gc

import pytest
from fakes import OOM_SPELLINGS, oom

from qembed.engine.workers import oom as module
from qembed.engine.workers.oom import is_device_lost, is_out_of_memory, release_memory


def of_torch() -> list[BaseException]:
    import torch

    accelerator = getattr(torch, "AcceleratorError", RuntimeError)
    return [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        accelerator("CUDA error: out of memory"),
    ]


def test_torchs_own_classes() -> None:
    assert [is_out_of_memory(error) for error in of_torch()] == [True, True]


@pytest.mark.parametrize("spelling", OOM_SPELLINGS)
def test_every_spelling(spelling: str) -> None:
    assert is_out_of_memory(oom(spelling))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("The size of tensor a (513) must match the size of tensor b (512)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        ValueError("out of memory"),
        OSError(12, "Cannot allocate memory"),
        KeyboardInterrupt(),
        SystemExit("out of memory"),
    ],
)
def test_nothing_else(error: BaseException) -> None:
    assert not is_out_of_memory(error)


LOST = (
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
)


@pytest.mark.parametrize("message", LOST)
def test_errors_that_cost_a_process_its_device(message: str) -> None:
    assert is_device_lost(RuntimeError(message))
    assert not is_device_lost(ValueError(message))


def test_torchs_own_class_costs_it() -> None:
    import torch

    accelerator = getattr(torch, "AcceleratorError", None)
    if accelerator is None:
        pytest.skip("this torch has no AcceleratorError")
    assert is_device_lost(accelerator("whatever it says"))
    assert not is_device_lost(accelerator("CUDA error: out of memory"))


@pytest.mark.parametrize(
    "error",
    [
        *map(oom, OOM_SPELLINGS),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("CUDA error: invalid device ordinal"),
        RuntimeError("The size of tensor a (513) must match the size of tensor b (512)"),
    ],
)
def test_errors_that_do_not(error: BaseException) -> None:
    assert not is_device_lost(error)


def test_cycles_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        pass

    import weakref

    monkeypatch.delitem(module.sys.modules, "torch", raising=False)
    gc.disable()
    try:
        tensor = Tensor()
        tensor.itself = tensor  # type: ignore[attr-defined]
        alive = weakref.ref(tensor)
        del tensor
        assert alive() is not None
        release_memory()
        assert alive() is None
    finally:
        gc.enable()
