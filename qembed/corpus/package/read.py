"""The public API documentation of an installed package, as entries: what is named, its signature, its text.

Read statically with griffe; no code of the package runs. What only exists at run time (functions made in a
loop, docstrings attached by a call, compiled modules without stubs) is therefore not seen: what can be known
to be missing is reported as findings.
"""

from __future__ import annotations

import ast
import importlib.util
import platform
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from time import perf_counter

import griffe

from qembed.corpus.package.entry import Entry, entry_of, relative_path
from qembed.corpus.package.names import Imports, Node, PublicNames
from qembed.errors import UsageError
from qembed.records import Finding, OnFinding, Place
from qembed.shell import shell_line

_HAS_SIGNATURE = ("class", "function", "method", "property")
_NOT_API = re.compile(
    r"(conftest|tests?|test_.*|.*_tests?|_?vendor(ed)?|_?extern(als?)?|_?third_party)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A package as installed: its import name, version, entries sorted by name, and the time to read it."""

    name: str
    version: str
    entries: list[Entry]
    seconds: float


def read_package(
    name: str,
    *,
    undocumented: bool = False,
    exclude: Sequence[str] = (),
    on_finding: OnFinding = lambda _: None,
) -> PackageSource:
    """Read one package's documented public objects.

    Args:
        name: Import name of a top-level package or module.
        undocumented: Also classes, functions, methods and properties without a docstring.
        exclude: Modules to treat as private, e.g. ``pandas.core``.
        on_finding: Called for modules that cannot be read and public names that cannot be followed.

    Raises:
        UsageError: The package is not installed, or there is nothing of it to read.
    """
    started = perf_counter()
    imports = Imports()
    package, finder = _load(name, imports)
    _report_unread_modules(package, finder, exclude, on_finding)
    names = PublicNames(package, imports, tuple(exclude))
    entries: list[Entry] = []
    met: Counter[str] = Counter()
    for named in names.all():
        entry = entry_of(named, package, namesakes=met[named.path])
        met[named.path] += 1
        if entry.text or (undocumented and entry.kind in _HAS_SIGNATURE):
            entries.append(entry)
    for module, missing in sorted(names.unread.items()):
        if missing:
            shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            reason = f"{len(missing)} public names are compiled or made at run time: {shown}"
            on_finding(Finding("unread-names", Place(module), reason, lost="chunk"))
    entries.sort(key=lambda entry: entry.name)
    return PackageSource(name, version_of(name), entries, perf_counter() - started)


def version_of(name: str) -> str:
    """Version of what installs ``name``: a distribution, or Python itself; else ``unknown``."""
    distributions = sorted(set(_distributions().get(name, ())))
    if distributions:
        return ", ".join(
            metadata.version(dist) if len(distributions) == 1 else f"{dist} {metadata.version(dist)}"
            for dist in distributions
        )
    return platform.python_version() if name in sys.stdlib_module_names else "unknown"


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


class _Finder(griffe.ModuleFinder):  # type: ignore[misc]
    """Finds a package's modules in a fixed order, without its tests and the packages that it vendors."""

    def submodules(self, module: Node) -> list[tuple[tuple[str, ...], Path]]:
        found = super().submodules(module)
        kept = [(parts, path) for parts, path in found if not any(map(_NOT_API.match, parts))]
        return sorted(kept, key=lambda item: (len(item[0]), item[0], item[1].suffix))


def _load(name: str, imports: Imports) -> tuple[Node, _Finder]:
    loader = griffe.GriffeLoader(
        extensions=griffe.load_extensions(imports), allow_inspection=False, store_source=False
    )
    loader.finder = finder = _Finder()
    with griffe.logger.disable():
        try:
            if not name.isidentifier():
                raise ModuleNotFoundError(name)
            package = loader.load(name, try_relative_path=False)
        except ModuleNotFoundError:
            raise _not_found(name) from None
        except griffe.LoadingError as error:
            raise UsageError(
                f"the package {name!r} cannot be read: {error}",
                remedy="name a package that is installed as Python source or with .pyi stubs",
            ) from None
    return package, finder


def _not_found(name: str) -> UsageError:
    imported = sorted(
        module for module, names in _distributions().items() if _normal(name) in map(_normal, names)
    )
    public = [module for module in imported if not module.startswith("_")] or imported
    if public and name not in public:
        return UsageError(
            f"{name!r} is the name of a distribution, not an import name",
            remedy=shell_line("qembed", "corpus", "from-package", *public),
        )
    if "." in name:
        return UsageError(
            f"{name!r} is not a top-level package", remedy=f"name {name.split('.')[0]!r}, or exclude the rest"
        )
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        return UsageError(
            f"{name!r} is compiled and has no stubs; nothing of it can be read without running it",
            remedy="leave it out",
        )
    return UsageError(
        f"no package {name!r} is installed here",
        where=sys.prefix,
        remedy=f"pip install {name} (give the import name here, e.g. sklearn for scikit-learn)",
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _report_unread_modules(
    package: Node, finder: _Finder, exclude: Sequence[str], on_finding: OnFinding
) -> None:
    """One finding for each public module whose file griffe passed over in silence.

    Files in folders that are no packages (scripts, shared libraries) are not modules.
    """
    for parts, path in finder.submodules(package):
        module = ".".join((package.name, *parts))
        private = any(part.startswith("_") or not part.isidentifier() for part in parts)
        excluded = any(f"{module}.".startswith(f"{prefix}.") for prefix in exclude)
        if private or excluded or _is_loaded(package, parts) or not _is_loaded(package, parts[:-1]):
            continue
        kind, line, reason = _why_unread(path)
        on_finding(Finding(kind, Place(relative_path(package, path), line=line), reason, lost="file"))


def _is_loaded(package: Node, parts: tuple[str, ...]) -> bool:
    node = package
    for part in parts:
        node = node.members.get(part)
        if node is None or node.is_alias or not node.is_module:
            return False
    return True


def _why_unread(path: Path) -> tuple[str, int | None, str]:
    if path.suffix not in (".py", ".pyi"):
        return "compiled-module", None, "compiled, without stubs"
    try:
        ast.parse(path.read_text(encoding="utf-8-sig"), str(path))
    except SyntaxError as error:
        return "unparsable-module", error.lineno, f"not Python {platform.python_version()}: {error.msg}"
    except (ValueError, OSError) as error:
        return "unparsable-module", None, str(error)
    return "unparsable-module", None, "griffe cannot read it"
