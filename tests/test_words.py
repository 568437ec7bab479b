"""The style guide of CONTRIBUTING ("Words") as far as patterns can hold it: strings of the package, pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qembed

PACKAGE = Path(qembed.__file__).parent
REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md")),
    *sorted(REPOSITORY.glob("eval_sets/*/NOTES.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]

_COUNTED = "ms|milliseconds|seconds|bytes|kB|tokens|texts|chunks|records|files|one"
_EACH = (
    "query|vector|second|chunk|token|text|line|row|record|batch|device|dimension|subdirectory|system|session"
)
PHRASES = {
    rf"\b(?:{_COUNTED}) an? (?:{_EACH})\b": "per",
    r"\bmay be given often\b": "repeatable",
    r"\bfour times out of five\b": "smallest detectable difference (80 % power)",
    r"\bh(?:o|e)ld(?:s|ing)? (?:\w+ ){0,3}against\b": "compare with",
    r"\bthe same command goes on\b": "resumes",
    r"\bpercent of recall\b": "share of relevant items",
}
FRAGMENT = re.compile(r"^\s*(?:\w+: )?Of (?!course)", re.MULTILINE)


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def explanations(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Docstrings, also those of fields and constants, and help texts."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Expr) or getattr(node, "arg", "") == "help" else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.lineno, text.value


def found_in(text: str) -> Iterator[str]:
    for phrase, better in PHRASES.items():
        for match in re.finditer(phrase, " ".join(text.split())):
            yield f"{match[0]!r}: write {better!r}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_words_of_a_module(path: Path) -> None:
    wrong = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, text in strings(tree):
        wrong += [f"{path}:{line}: {what}" for what in found_in(text)]
    for line, text in explanations(tree):
        if match := FRAGMENT.search(text):
            wrong.append(f"{path}:{line}: {match[0].strip()!r} begins a fragment: say what the thing is")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_words_of_a_page(page: Path) -> None:
    assert list(found_in(page.read_text(encoding="utf-8"))) == []
