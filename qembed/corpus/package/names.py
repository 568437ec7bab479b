"""Which objects of a package are public, and the shortest path under which a program reaches each.

An object is public when a chain of names without a leading underscore leads to it from the package: by
definition in a public module, or by a re-export. ``__all__`` decides where a module has one; where it has
none, a package's ``__init__`` re-exports what it imports, and any module what it imports with a star or
``as`` itself. Works on the syntax trees that griffe reads; no code of the package runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import griffe

Node: TypeAlias = Any
"""A griffe object: module, class, function, attribute or type alias, never an alias."""

STATIC_ERRORS = (griffe.GriffeError, ValueError, KeyError, AttributeError, RecursionError)
"""What griffe raises where names cannot be followed without running code."""


class Imports(griffe.Extension):  # type: ignore[misc]
    """Remembers what griffe drops: members that a submodule of the same name hides, ``as`` itself, and more.

    Attributes:
        members: Members of each module, by path, as they are before submodules are attached.
        redundant: Module path and name of every ``from x import name as name``, which marks a re-export.
        open_ended: Modules that add to ``__all__`` while they run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, dict[str, Any]] = {}
        self.redundant: set[tuple[str, str]] = set()
        self.open_ended: set[str] = set()

    def on_module_members(self, *, mod: Node, agent: Any, **_: Any) -> None:
        """Keep the members, and note an ``__all__`` that grows."""
        _add_overloads_only(mod, mod.filepath)
        if mod.filepath.suffix == ".py" or mod.path not in self.members:
            self.members[mod.path] = dict(mod.members)
        if "__all__.append(" in agent.code or "__all__.extend(" in agent.code:
            self.open_ended.add(mod.path)

    def on_class_members(self, *, cls: Node, agent: Any, **_: Any) -> None:
        """Give functions that a stub only has as overloads a member."""
        _add_overloads_only(cls, agent.filepath)

    def on_alias_instance(self, *, alias: Any, node: Any, agent: Any, **_: Any) -> None:
        """Note ``from x import name as name`` (PEP 484)."""
        if any(alias.name == name.asname == name.name for name in node.names):
            self.redundant.add((agent.current.path, alias.name))


@dataclass(frozen=True, slots=True)
class Named:
    """A public object.

    Attributes:
        path: Shortest public path, e.g. ``qdrant_client.QdrantClient.delete``.
        module: Public path of the module that ``path`` goes through, e.g. ``qdrant_client``.
        node: The object.
        owner: The public class that it is a member of.
    """

    path: str
    module: str
    node: Node
    owner: Node | None = None


class PublicNames:
    """The public objects of one loaded package.

    Args:
        package: The top module.
        imports: Filled while it was loaded.
        excluded: Modules to treat as private, by path; what they define counts only where it is re-exported.

    Attributes:
        unread: Names in a module's ``__all__`` that lead to nothing that can be read, by module path.
    """

    def __init__(self, package: Node, imports: Imports, excluded: tuple[str, ...] = ()) -> None:
        self._package = package
        self._imports = imports
        self._excluded = excluded
        self.unread: dict[str, list[str]] = {}

    def all(self) -> list[Named]:
        """Every public object once, sorted by path; a module comes after an object of the same path."""
        named: dict[int, Named] = {}
        for candidate in self._reachable():
            known = named.get(id(candidate.node))
            if known is None or _preference(candidate) < _preference(known):
                named[id(candidate.node)] = candidate
        for top in sorted(named.values(), key=_order):
            for member in _members_below(top):
                named.setdefault(id(member.node), member)
        self._adopt(named)
        return sorted(named.values(), key=_order)

    def _reachable(self) -> Iterator[Named]:
        """Modules and their public objects, breadth first; objects under every path that leads to them."""
        top = Named(self._package.name, self._package.name, self._package)
        seen = {id(top.node)}
        level = [top]
        while level:
            deeper: list[Named] = []
            for module in level:
                yield module
                for name, node in self._bindings(module.node):
                    path = f"{module.path}.{name}"
                    if not node.is_module:
                        yield Named(path, module.path, node)
                    elif id(node) not in seen and not self._is_excluded(path):
                        seen.add(id(node))
                        deeper.append(Named(path, path, node))
            level = sorted(deeper, key=_order)

    def _bindings(self, module: Node) -> Iterator[tuple[str, Node]]:
        """Public names of a module with the objects behind them; submodules under their own name only."""
        exports = [name for name in module.exports or () if isinstance(name, str)]
        for name, member in sorted(module.members.items()):
            if name.startswith("_") or not name.isidentifier():
                continue
            if not member.is_alias and member.is_module:
                yield name, member
                hidden = self._imports.members.get(module.path, {}).get(name)
                if hidden is None or (exports and name not in exports):
                    continue
                member = hidden
            if not self._is_offered(module, name, member, exports):
                continue
            node = self._follow(member)
            if node is not None and (not node.is_module or self._needs_alias(module, node)):
                yield name, node
            elif node is None and exports and not _leads_elsewhere(member, self._package.name):
                self.unread.setdefault(module.path, []).append(name)
        missing = {name for name in exports if name not in module.members and not name.startswith("_")}
        self.unread.setdefault(module.path, []).extend(sorted(missing))

    def _is_offered(self, module: Node, name: str, member: Any, exports: list[str]) -> bool:
        if exports:
            return name in exports or self._may_be_added(module, member)
        if not member.is_alias:
            return True
        if member.wildcard_imported or (module.path, name) in self._imports.redundant:
            return True
        return bool(module.is_init_module) and (bool(member.runtime) or _is_lazy(module))

    def _may_be_added(self, module: Node, member: Any) -> bool:
        """Whether a growing ``__all__`` may get the name at run time: a function, imported with a star.

        Classes are not assumed: one that is not listed is often the base of one that is.
        """
        if module.path not in self._imports.open_ended or not member.is_alias or not member.wildcard_imported:
            return False
        node = self._follow(member)
        return node is not None and bool(node.is_function)

    def _follow(self, member: Any) -> Node | None:
        """The object behind a member; None where it belongs to another package or cannot be found."""
        return self._behind(member, frozenset())

    def _behind(self, member: Any | None, seen: frozenset[str]) -> Node | None:
        return self._resolve(member.target_path, seen) if member is not None and member.is_alias else member

    def _resolve(self, path: str, seen: frozenset[str]) -> Node | None:
        first, *rest = path.split(".")
        if first != self._package.name or path in seen:
            return None
        node = self._package
        for position, part in enumerate(rest):
            if not (node.is_module or node.is_class) or part not in node.members:
                return None
            member = node.members[part]
            hidden = None
            if position == len(rest) - 1 and not member.is_alias and member.is_module:
                hidden = self._imports.members.get(node.path, {}).get(part)
            found = self._behind(hidden, seen | {path}) or self._behind(member, seen | {path})
            if found is None:
                return None
            node = found
        return node

    def _needs_alias(self, module: Node, target: Node) -> bool:
        """Whether an imported module is reached through this name: a private one, offered by a package."""
        private = any(part.startswith("_") for part in target.path.split(".")[1:])
        return (
            private and not self._is_excluded(target.path) and bool(module.exports or module.is_init_module)
        )

    def _is_excluded(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}.") for prefix in self._excluded)

    def _adopt(self, named: dict[int, Named]) -> None:
        """Give members of a base class that is not public to the nearest public class that inherits them."""
        heirs: list[tuple[int, Named]] = []
        for owner in [entry for entry in named.values() if entry.node.is_class]:
            overridden = set(owner.node.members)
            for distance, base in enumerate(ancestors(owner.node)):
                if id(base) not in named and base.package.name == self._package.name:
                    members = _members_below(Named(owner.path, owner.module, base))
                    start = len(owner.path) + 1
                    heirs += [
                        (distance, heir)
                        for heir in members
                        if heir.path[start:].split(".")[0] not in overridden
                    ]
                overridden |= set(base.members)
        for _, heir in sorted(heirs, key=lambda item: (item[0], _order(item[1]))):
            named.setdefault(id(heir.node), heir)


def ancestors(node: Node) -> list[Node]:
    """The base classes within the package, in method resolution order; empty where it cannot be told."""
    try:
        return list(node.mro())
    except STATIC_ERRORS:
        return []


def _members_below(owner: Named) -> Iterator[Named]:
    """Public members that a class itself defines, nested classes and their members included."""
    if not owner.node.is_class:
        return
    for name, node in owner.node.members.items():
        if not name.startswith("_") and not node.is_alias:
            member = Named(f"{owner.path}.{name}", owner.module, node, owner.node)
            yield member
            yield from _members_below(member)


def _add_overloads_only(node: Node, file: Path) -> None:
    """Where a stub has overloads and no source stands beside it, the first documented one stands for all."""
    if file.suffix == ".pyi" and not file.with_suffix(".py").exists():
        for name, group in node.overloads.items():
            if group and name not in node.members:
                node.set_member(name, next((one for one in group if one.docstring), group[0]))


def _is_lazy(module: Node) -> bool:
    """Whether imports under TYPE_CHECKING are there at run time too, loaded on first use."""
    return "__getattr__" in module.members or any("lazy" in name.lower() for name in module.imports)


def _leads_elsewhere(member: Any, package: str) -> bool:
    return bool(member.is_alias) and member.target_path.split(".")[0] != package


def _preference(named: Named) -> tuple[int, bool, str]:
    return named.path.count("."), named.path != named.node.path, named.path


def _order(named: Named) -> tuple[int, str, bool]:
    return named.path.count("."), named.path, bool(named.node.is_module)
