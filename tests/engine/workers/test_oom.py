"""What counts as out of memory, in torch's own classes and words; and what does not."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
import pytest
from fakes import INFO, OOM_SPELLINGS, oom

from qembed.engine.workers import oom as module
from qembed.engine.workers.oom import encode_in_parts, is_device_lost, is_out_of_memory, release_memory
from qembed.errors import QembedError


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


class TestFewTexts:
    """Queries and other texts outside of a run: halved where they do not fit together."""

    class Encoder:
        info = INFO

        def __init__(self, fits: int) -> None:
            self.fits, self.passes = fits, 0

        def encode(self, texts: Sequence[str], role: str) -> np.ndarray:
            self.passes += 1
            if len(texts) > self.fits:
                raise oom("OutOfMemoryError")
            if "bug" in texts:
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
            return np.array([[float(text)] for text in texts], dtype=np.float32)

    def test_halves_in_order(self) -> None:
        encoder = self.Encoder(fits=2)
        texts = [str(number) for number in range(7)]
        made = encode_in_parts(encoder, texts, "query")  # type: ignore[arg-type]
        assert made[:, 0].tolist() == list(range(7))

    def test_one_that_does_not_fit_is_an_error_that_says_what_to_do(self) -> None:
        with pytest.raises(QembedError, match="no memory left for a query of 3 characters") as caught:
            encode_in_parts(self.Encoder(fits=0), ["abc"], "query")  # type: ignore[arg-type]
        assert "--device cpu" in str(caught.value.remedy)
        assert "CUDA out of memory" in str(caught.value.where)

    def test_another_error_is_raised_as_it_is(self) -> None:
        with pytest.raises(RuntimeError, match="mat1"):
            encode_in_parts(self.Encoder(fits=9), ["bug"], "query")  # type: ignore[arg-type]
