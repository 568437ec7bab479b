"""Which device and which precision is picked, with and without GPUs, by what the CPU says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qembed.errors import UsageError
from qembed.models import list_devices
from qembed.models.device import compute_dtype, device_name, pick_device, pick_precision


class TestDevices:
    def test_auto_without_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert pick_device("auto") == "cpu"
        assert list_devices("auto") == ["cpu"]

    def test_auto_with_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert pick_device("auto") == "cuda:0"
        assert pick_device("cuda") == "cuda:0"
        assert pick_device("cuda:1") == "cuda:1"
        assert list_devices("auto") == list_devices("cuda") == ["cuda:0", "cuda:1"]
        assert list_devices("cuda:1") == ["cuda:1"]
        assert list_devices("cuda:1, cuda:0") == ["cuda:1", "cuda:0"]
        with pytest.raises(UsageError, match="not there"):
            pick_device("cuda:2")

    @pytest.mark.parametrize("device", ["tpu", "cuda:x", "gpu", "", "cpu:a"])
    def test_no_such_kind(self, device: str) -> None:
        with pytest.raises(UsageError, match="no kind of device"):
            pick_device(device)

    def test_missing_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        with pytest.raises(UsageError, match="not there") as caught:
            pick_device("cuda")
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize(
        ("capability", "precision", "found"),
        [
            ((7, 5), "auto", "fp16"),  # a T4 only emulates bf16
            ((8, 0), "auto", "bf16"),
            ((9, 0), "fp16", "fp16"),
            ((7, 5), "fp32", "fp32"),
        ],
    )
    def test_precision_by_capability(
        self, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: Any, found: str
    ) -> None:
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
        assert pick_precision(precision, "cuda:0") == found

    def test_emulated_bf16_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (7, 5))
        with pytest.raises(UsageError, match="only emulates"):
            pick_precision("bf16", "cuda:0")

    def test_workers_on_a_cpu(self) -> None:
        assert list_devices("cpu") == ["cpu"]
        assert list_devices("cpu*3") == ["cpu", "cpu", "cpu"]

    @pytest.mark.parametrize("spec", ["cpu*0", "cpu*", "cuda*2", "cpu*-1", ""])
    def test_no_such_list(self, spec: str) -> None:
        with pytest.raises(UsageError, match="no kind of device"):
            list_devices(spec)

    @pytest.mark.parametrize("spec", ["cpu,cpu", "cuda:0,cuda"])
    def test_a_device_named_twice(self, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        with pytest.raises(UsageError, match="twice"):
            list_devices(spec)

    @pytest.mark.parametrize("spec", ["cuda", "cuda:0,cuda:1"])
    def test_gpus_that_are_not_there(self, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        with pytest.raises(UsageError, match="not there"):
            list_devices(spec)


def cpu_with(monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str) -> None:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A CPU: fast\nflags\t\t: fpu {flags} sse\n")
    monkeypatch.setattr("qembed.models.device._CPUINFO", file)


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.models.cpu.kernels.unavailable", lambda sixteen: "the CPU has no AVX512-VNNI")


@pytest.mark.usefixtures("no_kernels")
class TestCpuPrecision:
    @pytest.mark.parametrize(
        ("flags", "found"),
        [("avx512f avx512_bf16", "bf16"), ("amx_tile amx_bf16", "bf16"), ("avx2 avx512f", "fp32")],
    )
    def test_auto_is_bf16_where_the_cpu_has_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, found: str
    ) -> None:
        cpu_with(monkeypatch, tmp_path, flags)
        assert pick_precision("auto", "cpu") == found
        assert pick_precision("fp32", "cpu") == "fp32"
        assert pick_precision("fp16", "cpu") == "fp16"
        assert compute_dtype("nf4", "cpu") == {"bf16": "bfloat16", "fp32": "float32"}[found]

    def test_emulated_bf16_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        cpu_with(monkeypatch, tmp_path, "avx2")
        with pytest.raises(UsageError, match="only emulates bf16") as caught:
            pick_precision("bf16", "cpu")
        assert caught.value.remedy == "--precision fp32"

    @pytest.mark.parametrize(("answers", "found"), [(True, "bf16"), (False, "fp32")])
    def test_torch_is_asked_where_there_is_no_cpuinfo(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool, found: str
    ) -> None:
        monkeypatch.setattr("qembed.models.device._CPUINFO", tmp_path / "missing")
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: answers, raising=False)
        monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False, raising=False)
        assert pick_precision("auto", "cpu") == found

    @pytest.mark.parametrize(("flags", "found"), [("avx512_bf16", "int16"), ("amx_bf16", "bf16")])
    def test_auto_is_int16_where_the_kernels_have_it_unless_there_are_tiles(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, found: str
    ) -> None:
        cpu_with(monkeypatch, tmp_path, flags)
        monkeypatch.setattr("qembed.models.cpu.kernels.unavailable", lambda sixteen: "" if sixteen else "?")
        assert pick_precision("auto", "cpu") == found
        assert pick_precision("int16", "cpu") == "int16"
        assert compute_dtype("int16", "cpu") == "float32"

    def test_int16_elsewhere(self) -> None:
        with pytest.raises(UsageError, match="the CPU has no AVX512-VNNI") as caught:
            pick_precision("int16", "cpu")
        assert caught.value.remedy == "--precision fp32"
        with pytest.raises(UsageError, match="for CPUs"):
            pick_precision("int16", "mps")

    def test_the_processors_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        cpu_with(monkeypatch, tmp_path, "")
        assert device_name("cpu") == "A CPU: fast"


class TestQuantized:
    def test_without_bitsandbytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("qembed.models.device.find_spec", lambda _: None)
        with pytest.raises(UsageError, match="needs bitsandbytes and accelerate") as caught:
            pick_precision("int8", "cpu")
        assert "accelerate bitsandbytes" in str(caught.value.remedy)

    def test_where_it_cannot_run(self) -> None:
        with pytest.raises(UsageError, match="mps"):
            pick_precision("nf4", "mps")

    @pytest.mark.parametrize(("capability", "found"), [((7, 5), "float16"), ((8, 0), "bfloat16")])
    def test_dtype_of_the_arithmetic(
        self, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], found: str
    ) -> None:
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
        monkeypatch.setattr("qembed.models.device.find_spec", lambda _: "there")
        assert pick_precision("nf4", "cuda:0") == "nf4"
        assert compute_dtype("nf4", "cuda:0") == compute_dtype("int8", "cuda:0") == found
        assert compute_dtype("fp32", "cuda:0") == "float32"


def test_the_command_line_names_every_precision() -> None:
    from qembed.models import PRECISIONS
    from qembed.terminal import options

    assert options.PRECISIONS == PRECISIONS
