"""Pretends that this machine has GPUs, in every process that has this folder on its ``PYTHONPATH``.

``QEMBED_FAKE_GPUS=2`` gives that many Tesla T4; ``QEMBED_FAKE_GPU_NAME``, ``_TOTAL``, ``_FREE`` (bytes) and
``_CAPABILITY`` (``7,5``) describe another card. Models compute on the CPU and say that they are on a GPU.
``QEMBED_FAKE_GPU_LOG`` names a file that gets a line, with the process id, for every call that would open a
CUDA context or needs the right current device. Nothing else of torch or qembed is replaced.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

COUNT = int(os.environ.get("QEMBED_FAKE_GPUS", "0"))
NAME = os.environ.get("QEMBED_FAKE_GPU_NAME", "Tesla T4")
TOTAL = int(os.environ.get("QEMBED_FAKE_GPU_TOTAL", "15828320256"))
FREE = int(os.environ.get("QEMBED_FAKE_GPU_FREE", "15720000000"))
CAPABILITY = tuple(map(int, os.environ.get("QEMBED_FAKE_GPU_CAPABILITY", "7,5").split(",")))
RESERVED = 14_300_000_000


def log(what: str) -> None:
    path = os.environ.get("QEMBED_FAKE_GPU_LOG")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {what}\n")


def logged(name: str, result: Any = None) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        log(name)
        return result

    return call


def patch_torch(torch: ModuleType) -> None:
    properties = SimpleNamespace(name=NAME, total_memory=TOTAL, major=CAPABILITY[0], minor=CAPABILITY[1])
    harmless = {
        "device_count": COUNT,
        "is_available": True,
        "is_initialized": False,
        "get_arch_list": ["sm_{}{}".format(*CAPABILITY)],
        "memory_reserved": RESERVED,
        "max_memory_reserved": RESERVED,
        "memory_allocated": RESERVED,
        "max_memory_allocated": RESERVED,
        "reset_peak_memory_stats": None,
        "synchronize": None,
    }
    for name, result in harmless.items():
        setattr(torch.cuda, name, lambda *_, _result=result, **__: _result)
    opening = {
        "set_device": None,
        "empty_cache": None,
        "mem_get_info": (FREE, TOTAL),
        "get_device_capability": CAPABILITY,
        "get_device_name": NAME,
        "get_device_properties": properties,
    }
    for name, result in opening.items():
        setattr(torch.cuda, name, logged(name, result))


def patch_loading(module: ModuleType) -> None:
    from dataclasses import replace
    from inspect import signature

    real = module._load

    def load(*arguments: Any, **more: Any) -> Any:
        bound = signature(real).bind(*arguments, **more)
        log("load")
        options = bound.arguments["options"]
        bound.arguments["options"] = replace(options, shard=False, device="cpu")
        bound.arguments["device"] = "cpu"
        return real(*bound.args, **bound.kwargs)

    module._load = load  # type: ignore[attr-defined]


def patch_encoder(module: ModuleType) -> None:
    from dataclasses import replace

    real = module.Encoder.load.__func__

    def load(cls: Any, model: Any, options: Any = module._DEFAULTS) -> Any:
        encoder = real(cls, model, options)
        if options.device.startswith("cuda"):
            encoder.info = replace(encoder.info, device=options.device, device_name=NAME)
        return encoder

    module.Encoder.load = classmethod(load)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are patched, and patches them once they are there."""

    patches: ClassVar = {
        "torch": patch_torch,
        "qembed.models.loading": patch_loading,
        "qembed.models.encoder": patch_encoder,
    }

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        patch = self.patches.get(name)
        if patch is None:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            real = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                real(module)
                patch(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if COUNT:
    sys.meta_path.insert(0, Finder())
