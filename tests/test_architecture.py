"""The house rules: who may import whom, how long a module may be, what must be documented, who may print."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import qembed
from qembed.cli import group

PACKAGE = Path(qembed.__file__).parent
REPOSITORY = Path(__file__).resolve().parent.parent

# A package may import itself and what stands before it.
ORDER = (
    "shell",
    "errors",
    "records",
    "progress",
    "user_cache",
    "corpus",
    "models",
    "engine",
    "store",
    "index",
    "evaluation",
    "report",
    "kaggle",
    "terminal",
    "commands",
    "cli",
)
MODULE_LINES = 350
FUNCTION_LINES = 50
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "numba",
    "qdrant_client",
    "pandas",
    "scipy",
    "matplotlib",
)


class Module(NamedTuple):
    """A module of the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> list[str]:
        """Names of the packages that it lies in."""
        parts = self.name.split(".")
        return parts if self.path.name == "__init__.py" else parts[:-1]


def modules() -> Iterator[Module]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, path, ast.parse(path.read_text(encoding="utf-8")))


MODULES = list(modules())
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Every module of qembed that is imported, also within functions and for type checkers; with its line."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = module.package[: len(module.package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source, node.lineno
            if source == "qembed":
                for alias in node.names:
                    yield f"qembed.{alias.name}", node.lineno


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@each_module
def test_a_package_imports_only_what_stands_before_it(module: Module) -> None:
    parts = module.name.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return  # the entry points may name everything
    own = ORDER.index(parts[1])
    for imported, line in imports(module):
        target = imported.split(".")
        if target[0] != "qembed" or len(target) == 1 or target[1] == "__version__":
            continue
        assert ORDER.index(target[1]) <= own, f"{module.path}:{line}: {parts[1]} imports {target[1]}"


def test_every_part_has_its_place_in_the_order() -> None:
    parts = {module.name.split(".")[1] for module in MODULES if "." in module.name}
    assert parts - {"__main__"} <= set(ORDER)


@each_module
def test_length_of_modules_and_functions(module: Module) -> None:
    length = len(module.path.read_text(encoding="utf-8").splitlines())
    assert length <= MODULE_LINES, f"{module.path} has {length} lines; split it by meaning"
    for function in functions(module.tree):
        lines = body_lines(function)
        assert lines <= FUNCTION_LINES, f"{module.path}:{function.lineno}: {function.name} has {lines} lines"


@each_module
def test_every_public_thing_has_a_docstring(module: Module) -> None:
    assert ast.get_docstring(module.tree), f"{module.path} does not say what it is"
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        assert ast.get_docstring(node), f"{module.path}:{node.lineno}: {node.name}"
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                inherited = module.name == "qembed.terminal.progress"  # described at qembed.progress.Progress
                assert inherited or ast.get_docstring(inner), f"{module.path}:{inner.lineno}: {inner.name}"


def draws(module: Module) -> bool:
    """Whether a module may speak to the terminal."""
    parts = module.name.split(".")
    package, file = parts[1:2], parts[3:]
    views = bool(file) and (file[0] in ("cli", "view") or file[0].endswith(("_cli", "_view")))
    return package in (["cli"], ["terminal"]) or (package == ["commands"] and views)


@each_module
def test_only_the_command_line_prints(module: Module) -> None:
    drawing = draws(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "breakpoint"), f"{module.path}:{node.lineno}"
        if drawing:
            continue
        if isinstance(node, ast.Attribute):
            writes = ast.unparse(node) in (
                "sys.stdout",
                "sys.stderr",
                "click.echo",
                "click.secho",
                "os.write",
            )
            assert not writes, (
                f"{module.path}:{node.lineno}: {ast.unparse(node)} outside of a command line or view"
            )
    if not drawing:
        named = {name.split(".")[0] for name, _ in imports(module)}
        allowed = {"rich", "click"} if module.name == "qembed.__main__" else set()
        assert not named & {"rich", "click"} - allowed, (
            f"{module.path} draws; that is for a command's cli.py and view.py, and for qembed.terminal"
        )


@each_module
def test_comments_do_not_speak_of_what_is_still_to_do(module: Module) -> None:
    for number, line in enumerate(module.path.read_text(encoding="utf-8").splitlines(), 1):
        assert not any(word in line for word in ("TODO", "FIXME", "XXX")), f"{module.path}:{number}"


def command_lines(
    command: click.Command | None = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """``()``, ``("embed",)``, ``("models", "show")``, ...: the way to every command there is."""
    command = command or group
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            yield from command_lines(inner, (*path, name))


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = group
    for name in path:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        command = inner
    return command


COMMANDS = list(command_lines())
each_command = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(("qembed", *path)))

IMPORTED_BY_HELP = """
import json, sys, time
started = time.perf_counter()
from qembed.cli import run
code = run(json.loads(sys.argv[1]))
seconds = time.perf_counter() - started
sys.stdout.flush()
print(json.dumps([code, seconds, sorted({name.split(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


@each_command
def test_help_is_light(path: tuple[str, ...]) -> None:
    arguments = json.dumps([*path, "--help"])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_BY_HELP, arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, _, imported = json.loads(done.stderr)
    assert code == 0
    assert "Usage:" in done.stdout
    assert set(HEAVY) & set(imported) == set()


def test_inspecting_without_a_model_is_light(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "a"}]')
    arguments = json.dumps(["inspect", str(tmp_path), "--collection", "c", "--json"])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_BY_HELP, arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, _, imported = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert set(HEAVY) & set(imported) == set()


@each_command
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    command = command_at(path)
    assert command.help, path
    assert "Example" in command.help, path
    assert " ".join(("qembed", *path)) in command.help.partition("Example")[2], path
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)}: {parameter.opts}"
            assert parameter.help[0].isupper() or parameter.help.startswith("auto"), parameter.help


@each_command
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    written = [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
    if not (REPOSITORY / "README.md").is_file():
        pytest.skip("README.md is not written yet")
    assert any(" ".join(("qembed", *path)) in text for text in written), f"qembed {' '.join(path)}"


def files_imported(module: Module) -> set[str]:
    """Modules of qembed that a module names in any import; ``from package import file`` means the file."""
    named = {other.name for other in MODULES}
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                file = f"{node.module}.{alias.name}"
                found.add(file if file in named else str(node.module))
    return found & named - {module.name, "qembed"}  # `from qembed import __version__` is no arrow


def test_no_circles_between_files() -> None:
    waiting = {module.name: files_imported(module) for module in MODULES}
    waiting.pop("qembed")  # the public names, imported on first use
    while free := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        for name in free:
            del waiting[name]
    assert not waiting, f"these import each other, or what does: {waiting}"


@each_module
def test_a_command_imports_no_other_command(module: Module) -> None:
    room = module.name.split(".")[:3]
    if room[1:2] != ["commands"] or len(room) < 3:
        return
    for imported, line in imports(module):
        target = imported.split(".")[:3]
        other = target[1:2] == ["commands"] and len(target) == 3 and target != room
        assert not other, f"{module.path}:{line}: {room[2]} imports {target[2]}"
