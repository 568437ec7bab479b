"""What ``import qembed`` offers is what it says."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import qembed

PACKAGE = Path(qembed.__file__).parent


def modules_with_all() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("__init__.py")):
        if "__all__ =" in path.read_text(encoding="utf-8"):
            found.append(".".join(path.relative_to(PACKAGE.parent).parent.parts))
    return found


def bound_names(module: ModuleType) -> set[str]:
    """Names that a module's own text imports or defines for its users."""
    assert module.__file__ is not None
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.ImportFrom)
            and node.module != "__future__"
            and node.module.startswith("qembed")
        ):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def test_all_is_sorted_and_without_repeats() -> None:
    assert qembed.__all__ == ["__version__", *sorted(set(qembed.__all__) - {"__version__"})]
    assert dir(qembed) == sorted(qembed.__all__)


@pytest.mark.parametrize("name", qembed.__all__)
def test_every_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    thing = getattr(qembed, name)
    if name == "__version__":
        assert thing.count(".") == 2
        return
    assert thing.__module__.startswith("qembed.")
    assert thing.__name__ == name
    assert inspect.getdoc(thing)


def test_type_checkers_see_the_same_names() -> None:
    source = Path(qembed.__file__).read_text(encoding="utf-8")
    (block,) = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not re-exported for type checkers"
            seen[alias.name] = node.module
    assert seen == qembed._EXPORTS


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        qembed.nothing  # noqa: B018


@pytest.mark.parametrize("name", modules_with_all())
def test_packages_export_what_they_list(name: str) -> None:
    module = importlib.import_module(name)
    listed = list(module.__all__)
    assert len(listed) == len(set(listed))
    for exported in listed:
        assert getattr(module, exported, None) is not None, f"{name}.{exported}"


@pytest.mark.parametrize(
    "name", [name for name in modules_with_all() if name not in ("qembed", "qembed.corpus")]
)
def test_packages_import_nothing_that_they_do_not_list(name: str) -> None:
    module = importlib.import_module(name)
    assert bound_names(module) <= set(module.__all__)


def test_importing_qembed_imports_nothing_else() -> None:
    code = "import sys, qembed; print([name for name in sys.modules if name.startswith('qembed')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['qembed']"


def test_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
