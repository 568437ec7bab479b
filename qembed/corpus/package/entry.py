"""One public object of a package as a reader meets it: its title as one writes it in code, and its text."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe

from qembed.corpus.package.names import Named, Node, ancestors

MAX_VALUE_CHARACTERS = 120
"""Longer values and defaults are cut in titles."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_RULE = re.compile(r"[ +|=~^*#_-]*")
_RUN = re.compile(r"([=~^*#_-])\1{3,}")
_FIELD_BASES = ("BaseModel", "NamedTuple", "TypedDict")


@dataclass(frozen=True, slots=True)
class Entry:
    """The documentation of one public object.

    Attributes:
        name: Unique within the package: the path, with ``~2`` where another object has the same path (a
            module ``a.b`` beside a function ``a.b``).
        path: The shortest public path.
        module: Public path of the module that it goes through.
        kind: module, class, function, method, property or attribute.
        title: One line: path and signature.
        text: The cleaned docstring; empty where there is none.
        source_file: The file that defines it, relative to the folder of installed packages, with ``/``.
        line: Line of the definition, from 1; None for a module.
    """

    name: str
    path: str
    module: str
    kind: str
    title: str
    text: str
    source_file: str
    line: int | None


def entry_of(named: Named, package: Node, *, namesakes: int) -> Entry:
    """The entry of one public object; ``namesakes`` counts the objects of the same path before it."""
    node = named.node
    file = node.filepath
    return Entry(
        name=f"{named.path}~{namesakes + 1}" if namesakes else named.path,
        path=named.path,
        module=named.module,
        kind=_kind(named),
        title=" ".join(_title(named).split()),
        text=_text(named),
        source_file=relative_path(package, file[0] if isinstance(file, list) else file),
        line=None if node.is_module else node.lineno,
    )


def relative_path(package: Node, file: Path) -> str:
    """``file`` relative to the folder that the package is installed in, with ``/``."""
    own = package.filepath
    folders = own if isinstance(own, list) else [own.parent if own.stem == "__init__" else own]
    for folder in folders:
        if file.is_relative_to(folder):
            return file.relative_to(folder.parent).as_posix()
    return file.name


def _kind(named: Named) -> str:
    node = named.node
    if node.is_function:
        return "method" if named.owner is not None else "function"
    if "property" in node.labels:
        return "property"
    return "module" if node.is_module else "class" if node.is_class else "attribute"


def _title(named: Named) -> str:
    node, path = named.node, named.path
    if node.is_function:
        return _signature(node, path)
    if node.is_class:
        return _class_title(node, path)
    if node.is_module:
        return path
    annotation = getattr(node, "annotation", None)
    if "property" in node.labels:
        return f"{path} -> {annotation}" if annotation is not None else path
    value = _short(node.value)
    return path + (f": {annotation}" if annotation is not None else "") + (f" = {value}" if value else "")


def _signature(function: Node, path: str, *, return_type: bool = True) -> str:
    shown = _most_telling(function)
    for parameter in shown.parameters:
        parameter.annotation = _short(parameter.annotation)
        parameter.default = _short(parameter.default)
    shown.returns = _short(shown.returns)
    return str(shown.signature(name=path, return_type=return_type))


def _most_telling(function: Node) -> Node:
    """The function, or where it only takes ``*args, **kwargs`` its overload with most named parameters."""
    if _named_parameters(function) or not function.overloads:
        return function
    overload = max(function.overloads, key=_named_parameters)
    return overload if _named_parameters(overload) else function


def _named_parameters(function: Node) -> int:
    names = [
        parameter.name for parameter in function.parameters if not str(parameter.kind.value).startswith("var")
    ]
    return sum(not name.startswith("_") and name not in ("self", "cls") for name in names)


def _short(value: Any) -> Any:
    """``value`` itself, or where it is long its beginning as text."""
    text = str(value)
    return (
        value
        if len(text) <= MAX_VALUE_CHARACTERS
        else text[: MAX_VALUE_CHARACTERS - 4].rstrip(" ,|") + " ..."
    )


def _class_title(node: Node, path: str) -> str:
    family = [node, *ancestors(node)]
    for member in family:
        init = member.members.get("__init__") or member.members.get("__new__")
        if init is not None and not init.is_alias and init.is_function:
            return _signature(init, path, return_type=False)
    fields = [f"{name}: {_field(node)}" for name, node in _fields(family).items()]
    return f"{path}({', '.join(fields)})" if fields else path


def _fields(family: list[Node]) -> dict[str, Node]:
    """Annotated fields of a pydantic model, named tuple or typed dict, base classes first; else empty."""
    bases = [str(base).rsplit(".", 1)[-1] for member in family for base in member.bases]
    if not any(base in _FIELD_BASES for base in bases):
        return {}
    return {
        name: node
        for member in reversed(family)
        for name, node in member.members.items()
        if not name.startswith("_")
        and not node.is_alias
        and node.is_attribute
        and node.annotation is not None
        and "instance-attribute" in node.labels
        and "property" not in node.labels
    }


def _field(node: Node) -> str:
    default = node.value
    if _is_field_call(default):
        first = default.arguments[0] if default.arguments else None
        named = _keyword(default, "default")
        default = named if named is not None else None if _is_keyword(first) or str(first) == "..." else first
    return f"{node.annotation}" + (f" = {_short(default)}" if default is not None else "")


def _is_field_call(value: Any) -> bool:
    return isinstance(value, griffe.ExprCall) and str(value.function).rsplit(".", 1)[-1] == "Field"


def _is_keyword(argument: Any) -> bool:
    return argument is None or isinstance(argument, griffe.ExprKeyword)


def _keyword(call: Any, name: str) -> Any:
    found = (
        item.value for item in call.arguments if isinstance(item, griffe.ExprKeyword) and item.name == name
    )
    return next(found, None)


def _text(named: Named) -> str:
    node = named.node
    texts = [_docstring(node)]
    if node.is_class:
        init = node.members.get("__init__")
        if init is not None and not init.is_alias and not init.is_attribute:
            texts.append(_docstring(init))
        texts.append("\n".join(_field_descriptions(node)))
    return "\n\n".join(dict.fromkeys(text for text in texts if text))


def _field_descriptions(node: Node) -> Iterator[str]:
    for name, field in _fields([node, *ancestors(node)]).items():
        described = _keyword(field.value, "description") if _is_field_call(field.value) else None
        text = _literal(described) if described is not None else ""
        if text:
            yield f"{name}: {text}"


def _literal(value: Any) -> str:
    try:
        literal = ast.literal_eval(str(value))
    except (ValueError, SyntaxError):
        return ""
    return " ".join(literal.split()) if isinstance(literal, str) else ""


def _docstring(node: Node) -> str:
    text = "" if node.docstring is None else inspect.cleandoc(node.docstring.value)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = "\n".join(_without_long_rule(line.rstrip()) for line in _CONTROL.sub("", text).split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _without_long_rule(line: str) -> str:
    # An underline or a table border of 80 dashes is 80 tokens to some tokenizers.
    return _RUN.sub(r"\1\1\1", line) if _RULE.fullmatch(line) else line
