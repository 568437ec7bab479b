"""Signatures as text: taken apart at their parameters, shortened, laid out. Pure."""

from __future__ import annotations


def shorten(name: str, title: str, max_characters: int) -> str:
    """``title`` with its last parameters replaced by ``...``; never shorter than ``name`` and ``(...)``."""
    if len(title) <= max_characters:
        return title
    if not title.startswith(name + "("):
        end = max(len(name), max_characters - 4)
        return f"{title[:end].rstrip()} ..." if end < len(title) else title
    kept: list[str] = []
    left = max_characters - len(name) - len("(...)")
    parameters = parameters_of(title[len(name) :])[0]
    for parameter in parameters:
        left -= len(parameter) + 2
        if left < 0:
            break
        kept.append(parameter)
    if len(kept) == len(parameters):
        return f"{name}({', '.join(kept)})"
    return f"{name}({', '.join([*kept, '...'])})"


def parameters_of(signature: str) -> tuple[list[str], str]:
    """``(a: int, b="x, y") -> c`` as its parameters and what follows the closing bracket."""
    parameters, depth, start, quote, position = [], 0, 1, "", 0
    while position < len(signature):
        character = signature[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if not quote and (depth == 0 or (depth == 1 and character == ",")):
            parameters.append(signature[start:position].strip())
            start = position + 1
            if depth == 0:
                break
        position += 1
    return [parameter for parameter in parameters if parameter], signature[start:]


def one_a_line(name: str, title: str) -> str:
    """``title`` with each parameter on a line of its own; ``title`` itself where it has no parameters."""
    if not title.startswith(name + "("):
        return title
    parameters, rest = parameters_of(title[len(name) :])
    return "\n".join([f"{name}(", *(f"    {parameter}," for parameter in parameters), f"){rest}"])
