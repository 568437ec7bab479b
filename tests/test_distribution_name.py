"""On the public index ``qembed`` is a stranger's package: nothing may tell a user to install it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_benches import full_bench

from qembed.commands.kaggle.notebook import NotebookOptions, notebook
from qembed.commands.report.report import make_report

REPOSITORY = Path(__file__).parents[1]
_LINE = re.compile(r"\bpip3? (?:install|download) ([^\n`]*)")
_STRANGER = re.compile(r"""["'(]*qembed(?:\[[^\]]*\])?(?:[=<>~!].*)?["'),.;:]*""")


def forbidden(text: str) -> Iterator[str]:
    """Lines with pip that name ``qembed`` itself; paths and addresses that end so are none."""
    for line in _LINE.finditer(text):
        if any(_STRANGER.fullmatch(word) for word in line[1].split()):
            yield line[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run `pip install qembed` now", True),
        ("pip install -U 'qembed[edge]'", True),
        ("pip install --quiet qembed==0.1.0 numpy", True),
        ("pip install qembed>=1,<2.", True),
        ("pip install qembed-toolkit", False),
        ("pip install git+https://host/owner/qembed", False),
        ("pip install ./qembed", False),
        ("pip install .\nqembed embed", False),
        ("`pip install qdrant-edge-py`, then qembed", False),
    ],
)
def test_what_is_forbidden(text: str, found: bool) -> None:
    assert bool(list(forbidden(text))) is found


@pytest.mark.parametrize("pattern", ["qembed/**/*", "docs/**/*.md", "*.md", "scripts/*", ".ci/*", "Makefile"])
def test_files(pattern: str) -> None:
    files = [path for path in REPOSITORY.glob(pattern) if path.is_file() and "__pycache__" not in path.parts]
    assert files
    for path in files:
        assert not list(forbidden(path.read_bytes().decode("utf-8", "replace"))), path


@pytest.mark.parametrize("install", [NotebookOptions().install, "/kaggle/input/wheels/"])
def test_notebook(install: str) -> None:
    text = "".join(json.dumps(cell["source"]) for cell in notebook(NotebookOptions(install=install))["cells"])
    assert "pip install" in text
    assert not list(forbidden(text.replace("\\n", "\n").replace('"', "\n")))


def test_report(tmp_path: Path) -> None:
    page = make_report(full_bench(tmp_path))[1]
    assert "pip install" in page
    assert not list(forbidden(re.sub(r"<[^>]+>", "\n", page)))
