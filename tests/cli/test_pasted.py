"""Command lines that are printed can be pasted: whatever signs a path has, a shell takes it as one word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import qembed
from qembed.commands.quickstart import cli as quickstart
from qembed.shell import shell_line

ODD = 'it\'s $HOME "a" `b` *c & d'
COMMAND = re.compile(r"(?:^|[ :`])((?:qembed|kaggle) (?!is|takes)[a-z].*)$", re.MULTILINE)
MARKDOWN = """\
# Searching vectors

## How do I search an index?

The client sends a vector and a limit. The nearest points of the index come back with their payload.

## How to filter by payload

A condition names a field of the payload. Points that do not meet it are left out of the answer.
"""

RunCli = Callable[[Sequence[str | Path]], Any]


def pasted(printed: str) -> Iterator[list[str]]:
    """The words of each line that names the folder."""
    for line in printed.replace(" \\\n", " ").splitlines():
        if (found := COMMAND.search(line)) and "HOME" in line:
            yield shlex.split(found[1], comments=True)


def whole(printed: str, *commands: str) -> None:
    """Each line has the folder as it is; these commands are among them."""
    lines = list(pasted(printed))
    for words in lines:
        assert any(ODD in word for word in words), words
        assert not any("HOME" in word and ODD not in word for word in words), words
    assert {shell_line(*words[:2]) for words in lines} >= set(commands), printed


def test_a_shell_takes_them_apart_again() -> None:
    assert shlex.split(shell_line("qembed", Path(ODD), 5)) == ["qembed", ODD, "5"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / ODD
    made.mkdir()
    (made / "page.md").write_text(MARKDOWN)
    (made / "questions.txt").write_text("how do I search?\nwhat is a point?\n")
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    return made


@pytest.mark.usefixtures("minilm")
def test_from_chunks_to_a_report(folder: Path, tiny: Path, run_cli: RunCli) -> None:
    chunks, out, reports = folder / "chunks", folder / "out", folder / "reports"

    def said(*words: str | Path) -> str:
        ran = run_cli(words)
        assert ran.code == 0, ran.err
        return str(ran.out + "\n" + ran.err)

    made = said("corpus", "from-markdown", folder / "page.md", "-o", chunks, "--model", "minilm")
    whole(made, "qembed embed")
    model = ("--model", tiny)
    whole(said("plan", chunks, *model, "--device", "cpu"), "qembed embed")
    whole(said("embed", chunks, "-o", out, *model), "qembed audit", "qembed upload")
    whole(said("embed", chunks, "-o", out, *model), "qembed audit", "qembed upload")  # nothing to do
    whole(said("audit", out), "qembed search")
    whole(said("evalset", "draft", chunks, "-o", folder / "set", "--queries", "2"), "qembed evalset")
    bench = ("bench", out, "-o", reports, "--latency-queries", "0", "--queries", folder / "questions.txt")
    whole(said(*bench), "qembed evalset")
    page = said("report", reports, "-o", "-", "--format", "md")
    whole(page, "qembed evalset")
    whole(
        said("kaggle", "bundle", chunks, "-o", folder / "kit", "--user", "me", "--force"), "kaggle datasets"
    )


def test_quickstart(folder: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "run_step", lambda ctx, arguments: 0)
    ran = run_cli(["quickstart", "-o", folder])
    whole(ran.out + ran.err, "qembed search", "qembed report", "qembed embed")


def test_one_function_makes_them() -> None:
    files = Path(qembed.__file__).parent.rglob("*.py")
    assert [file.name for file in files if "import shlex" in file.read_text(encoding="utf-8")] == ["shell.py"]
