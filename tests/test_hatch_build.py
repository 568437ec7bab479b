"""Compiling the kernels while qembed is installed: what goes wrong is said, and nothing else breaks."""

from __future__ import annotations

import ctypes
import platform
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CAN_COMPILE = (platform.system(), platform.machine()) == ("Linux", "x86_64") and bool(shutil.which("c++"))
COMPILES = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo compiled > "$2"
"""
FAILS = """#!/bin/sh
echo "kernels.cpp: In function:" >&2
echo "error: no such register" >&2
exit 1
"""


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """hatch_build.py, as on Linux with an x86-64 CPU, whether hatchling is installed or not."""
    interface = ModuleType("interface")
    interface.BuildHookInterface = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    spec = spec_from_file_location("hatch_build", REPOSITORY / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("QEMBED_KERNELS", raising=False)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source tree with nothing but the kernels."""
    folder = tmp_path / "source" / "qembed" / "models" / "cpu"
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "qembed" / "models" / "cpu" / "kernels.cpp", folder)
    return tmp_path / "source"


@pytest.fixture
def library(root: Path) -> Path:
    return root / "qembed" / "models" / "cpu" / "_kernels.so"


def script(folder: Path, content: str, name: str = "compiler") -> Path:
    path = folder / name
    path.write_text(content)
    path.chmod(0o755)
    return path


def compiled(build: ModuleType, library: Path) -> str:
    reason = build._compile(library.with_name("kernels.cpp"), library)
    assert isinstance(reason, str)
    return reason


class TestCompile:
    def test_by_the_compiler_that_is_named(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CXX", f"{script(tmp_path, COMPILES)} -fsome-option")
        assert compiled(build, library) == ""
        assert library.read_text() == "compiled\n"
        assert sorted(path.name for path in library.parent.iterdir()) == ["_kernels.so", "kernels.cpp"]

    def test_by_the_first_that_is_found(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script(tmp_path, FAILS, "clang++")
        script(tmp_path, COMPILES, "g++")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert compiled(build, library) == ""
        assert library.read_text() == "compiled\n"

    def test_a_compiler_that_is_not_there(
        self, build: ModuleType, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler -O1")
        assert compiled(build, library) == "no-such-compiler: No such file or directory"

    def test_a_compiler_that_fails(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compiler = script(tmp_path, FAILS)
        monkeypatch.setenv("CXX", str(compiler))
        reason = compiled(build, library)
        assert reason.startswith(f"{compiler} ")
        assert reason.endswith(": error: no such register")
        assert not library.exists()

    def test_a_compiler_that_fails_without_a_word(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CXX", str(script(tmp_path, "#!/bin/sh\nexit 1\n")))
        assert compiled(build, library).endswith(": no words")

    def test_no_compiler(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert compiled(build, library) == "no C++ compiler"

    @pytest.mark.parametrize(
        ("asked", "answer", "reason"),
        [
            ("machine", "aarch64", "not for Linux on aarch64"),
            ("system", "Darwin", "not for Darwin on x86_64"),
        ],
    )
    def test_another_platform(
        self,
        build: ModuleType,
        library: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        asked: str,
        answer: str,
        reason: str,
    ) -> None:
        monkeypatch.setenv("CXX", str(script(tmp_path, COMPILES)))
        monkeypatch.setattr(f"platform.{asked}", lambda: answer)
        assert compiled(build, library) == reason
        assert not library.exists()

    @pytest.mark.parametrize("wrong", ["missing", "failing", "half-done"])
    def test_a_failure_leaves_the_library_as_it_was(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        library.write_text("from before")
        content = {"failing": FAILS, "half-done": COMPILES + "exit 1\n"}.get(wrong)
        monkeypatch.setenv("CXX", str(script(tmp_path, content) if content else tmp_path / "missing"))
        assert compiled(build, library)
        assert library.read_text() == "from before"

    def test_a_process_that_has_the_old_library_keeps_it(
        self, build: ModuleType, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library.write_text("from before")
        monkeypatch.setenv("CXX", str(script(tmp_path, COMPILES)))
        with library.open() as old:
            assert compiled(build, library) == ""
            assert old.read() == "from before"

    @pytest.mark.slow
    @pytest.mark.skipif(not CAN_COMPILE, reason="not Linux on x86-64 with a C++ compiler")
    def test_for_real(self, build: ModuleType, library: Path) -> None:
        assert compiled(build, library) == ""
        assert ctypes.CDLL(str(library)).qembed_supported() in (0, 1, 2)


class TestInitialize:
    def initialized(self, build: ModuleType, root: Path, target: str = "wheel") -> tuple[Any, list[str]]:
        """What was added to the build's data, and the warnings."""
        warnings: list[str] = []
        app = SimpleNamespace(display_warning=warnings.append)
        data: dict[str, Any] = {"artifacts": []}
        build.KernelsHook(root=str(root), target_name=target, app=app).initialize("standard", data)
        return data, warnings

    @pytest.fixture
    def failing(self, build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", str(script(tmp_path, FAILS)))

    @pytest.fixture
    def compiling(self, build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", str(script(tmp_path, COMPILES)))

    @pytest.mark.usefixtures("compiling")
    @pytest.mark.parametrize("wanted", ["", "1"])
    def test_adds_the_library_to_a_wheel_of_its_platform(
        self, build: ModuleType, root: Path, library: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
    ) -> None:
        monkeypatch.setenv("QEMBED_KERNELS", wanted)
        data, warnings = self.initialized(build, root)
        assert data == {
            "artifacts": ["qembed/models/cpu/_kernels.so"],
            "pure_python": False,
            "tag": "py3-none-linux_x86_64",
        }
        assert warnings == []
        assert library.exists()

    @pytest.mark.usefixtures("failing")
    def test_a_failure_is_a_warning(self, build: ModuleType, root: Path) -> None:
        data, warnings = self.initialized(build, root)
        assert data == {"artifacts": []}
        assert len(warnings) == 1
        assert warnings[0].startswith("qembed without its compiled kernels, slower on a CPU: ")
        assert warnings[0].endswith("error: no such register")

    @pytest.mark.usefixtures("failing")
    def test_a_failure_ends_the_build_where_they_are_wanted(
        self, build: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QEMBED_KERNELS", "1")
        with pytest.raises(RuntimeError, match=r"the kernels cannot be compiled: .*error: no such register"):
            self.initialized(build, root)

    @pytest.mark.usefixtures("compiling")
    def test_left_out_on_request(
        self, build: ModuleType, root: Path, library: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QEMBED_KERNELS", "0")
        assert self.initialized(build, root) == ({"artifacts": []}, [])
        assert not library.exists()

    @pytest.mark.usefixtures("compiling")
    def test_a_source_distribution_has_the_source_only(
        self, build: ModuleType, root: Path, library: Path
    ) -> None:
        assert self.initialized(build, root, target="sdist") == ({"artifacts": []}, [])
        assert not library.exists()
