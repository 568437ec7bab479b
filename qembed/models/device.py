"""Which device and which precision a model runs in, and what the device calls itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from qembed.errors import UsageError

Precision: TypeAlias = Literal["auto", "fp32", "fp16", "bf16", "int16", "int8", "nf4"]
PRECISIONS = get_args(Precision)
_MIN_BF16_CAPABILITY = (8, 0)
_TORCH_NAMES = {"fp32": "float32", "int16": "float32", "fp16": "float16", "bf16": "bfloat16"}
_KINDS = "auto, cpu, cpu*N, cuda, cuda:N, cuda:0,cuda:1, mps"
_CPUINFO = Path("/proc/cpuinfo")


def list_devices(spec: str) -> list[str]:
    """The devices to run on, one worker each.

    Args:
        spec: ``auto`` (every GPU, else the CPU), ``cuda`` (every GPU), ``cuda:1``, ``cuda:0,cuda:1``,
            ``cpu``, ``cpu*3`` (three workers on the CPU), ``mps``.

    Raises:
        UsageError: A device was asked for and is not there, or twice.
    """
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if spec == "auto":
        return (gpus if torch.cuda.is_available() else []) or ["cpu"]
    if spec == "cuda" and gpus:
        return gpus
    kind, star, times = spec.partition("*")
    if star and kind == "cpu" and times.isdigit() and int(times) > 0:
        return ["cpu"] * int(times)
    found = [pick_device(part.strip()) for part in spec.split(",")]
    if len(set(found)) < len(found):
        raise UsageError(f"--device {spec} names a device twice", remedy="several workers on a CPU: cpu*N")
    return found


def pick_device(device: str) -> str:
    """``auto`` becomes the first GPU, else ``cpu``.

    Raises:
        UsageError: The device was asked for and is not there.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in available or (number and not number.isdigit()):
        raise UsageError(f"there is no kind of device {device!r}", remedy=f"one of {_KINDS}")
    if int(number or 0) >= available[kind]:
        raise UsageError(
            f"the device {device!r} is not there ({available[kind]} of that kind found)",
            remedy="--device auto, or on Kaggle: choose the accelerator in the notebook settings",
        )
    return f"cuda:{number or 0}" if kind == "cuda" else kind


def pick_precision(precision: Precision, device: str) -> str:
    """``fp32``, ``fp16``, ``bf16``, ``int16``, ``int8`` or ``nf4`` for a device.

    ``auto`` on a GPU is bf16 from compute capability 8 on, and fp16 below; on a CPU bf16 with AMX, int16
    where ``models.cpu.kernels`` has it (AVX512-VNNI), else bf16 with AVX512-BF16, else fp32. fp16 on a CPU is
    taken as asked; few CPUs are fast at it.

    Raises:
        UsageError: bf16 where it is only emulated (slowly); int16 elsewhere than on such a CPU; int8 or nf4
            without bitsandbytes, or on mps.
    """
    if precision in ("int8", "nf4"):
        _check_quantized(precision, device)
        return precision
    if precision == "int16":
        _check_int16(device)
        return precision
    has_bf16 = _has_bf16(device)
    if precision == "auto":
        if device == "cpu" and not cpu_has_amx() and not _why_no_int16():
            return "int16"
        return "bf16" if has_bf16 else ("fp16" if device.startswith("cuda") else "fp32")
    if precision == "bf16" and not has_bf16 and device != "mps":
        other = "fp16" if device.startswith("cuda") else "fp32"
        raise UsageError(f"{device} only emulates bf16", remedy=f"--precision {other}")
    return precision


def _why_no_int16() -> str:
    from qembed.models.cpu import kernels

    return kernels.unavailable(sixteen=True)


def _check_int16(device: str) -> None:
    if device != "cpu":
        raise UsageError("--precision int16 is for CPUs", remedy="--precision auto")
    if reason := _why_no_int16():
        raise UsageError(f"--precision int16 does not run here: {reason}", remedy="--precision fp32")


def compute_dtype(precision: str, device: str) -> str:
    """torch's name of the dtype of activations and of weights that are not quantised."""
    if precision in ("int8", "nf4"):
        precision = "bf16" if _has_bf16(device) else ("fp16" if device.startswith("cuda") else "fp32")
    return _TORCH_NAMES[precision]


def _has_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        import torch

        # is_bf16_supported() says True where bf16 is only emulated; the capability does not lie.
        return torch.cuda.get_device_capability(device) >= _MIN_BF16_CAPABILITY
    return device == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself: AVX512-BF16 or AMX-BF16 (x86 only)."""
    return cpu_has_amx() or _cpu_has("avx512_bf16", "_is_avx512_bf16_supported")


def cpu_has_amx() -> bool:
    """Whether this CPU multiplies tiles of bfloat16 (AMX-BF16)."""
    return _cpu_has("amx_bf16", "_is_amx_tile_supported")


def _cpu_has(flag: str, function: str) -> bool:
    """Whether Linux names a flag; elsewhere only torch can be asked, and not every version answers."""
    for flags in _cpuinfo("flags")[:1]:
        return flag in flags.split()
    import torch

    return bool(getattr(torch.cpu, function, lambda: False)())


def _check_quantized(precision: str, device: str) -> None:
    if device == "mps":
        raise UsageError(f"--precision {precision} does not run on mps", remedy="--precision fp16")
    missing = [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--precision {precision} needs {' and '.join(missing)}",
            remedy="pip install accelerate bitsandbytes",
        )


def device_name(device: str) -> str:
    """What the device calls itself, e.g. ``Tesla T4``; the processor's model for a CPU."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    import platform

    return next(iter(_cpuinfo("model name")), "") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> list[str]:
    """What Linux says of each processor under a key; empty elsewhere."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key]
