"""Compiles ``qembed/models/cpu/kernels.cpp`` while qembed is installed or its wheel is built.

Linux on x86-64 with a C++ compiler only. Without one qembed works as well, slower on a CPU.

    QEMBED_KERNELS=0 pip install .    # leave them out
    QEMBED_KERNELS=1 pip install .    # fail where they cannot be compiled
    CXX=clang++ pip install .         # choose the compiler
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("qembed", "models", "cpu")
COMPILERS = ("c++", "g++", "clang++")
CPU = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "fma")  # checked before anything runs
# The warnings are about the compilers' own headers: registers that are undefined on purpose.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-fopenmp",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
)
LINKED = ("-static-libstdc++", "-static-libgcc")


class KernelsHook(BuildHookInterface):
    """Adds the compiled kernels to the wheel, or to the source tree of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile before the wheel is put together."""
        wanted = os.environ.get("QEMBED_KERNELS", "")
        if wanted == "0" or self.target_name != "wheel":
            return
        root = Path(self.root)
        library = root / KERNELS / "_kernels.so"
        if reason := _compile(root / KERNELS / "kernels.cpp", library):
            if wanted == "1":
                raise RuntimeError(f"the kernels cannot be compiled: {reason}")
            self.app.display_warning(f"qembed without its compiled kernels, slower on a CPU: {reason}")
            return
        build_data["artifacts"].append(library.relative_to(root).as_posix())
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-linux_x86_64"  # no part of Python's own interface is used


def _compile(source: Path, library: Path) -> str:
    """Why it cannot be compiled; empty when it is."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"not for {platform.system()} on {platform.machine()}"
    named = shlex.split(os.environ.get("CXX", ""))
    compiler = named or [name for name in COMPILERS if shutil.which(name)][:1]
    if not compiler:
        return "no C++ compiler"
    made = library.with_suffix(".tmp")
    command = [*compiler, *FLAGS, *(f"-m{flag}" for flag in CPU), str(source), "-o", str(made), *LINKED]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    if done.returncode:
        made.unlink(missing_ok=True)
        return f"{shlex.join(command)}: {(done.stderr.strip().splitlines() or ['no words'])[-1]}"
    made.replace(library)  # a process that has the old one open keeps it
    return ""
