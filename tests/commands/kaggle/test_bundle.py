"""The kit for the kaggle client: its metadata, the chunks, a wheel that pip takes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from qembed import kaggle
from qembed.commands.kaggle.bundle import BundleOptions, bundle, dataset_metadata, kernel_metadata
from qembed.commands.kaggle.notebook import NotebookOptions
from qembed.commands.kaggle.wheel import write_wheel
from qembed.errors import InputNotFound, OutputExists, UsageError

RunCli = Callable[[Sequence[str | Path]], Any]
WriteChunks = Callable[..., Path]


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    return write_chunks(tmp_path / "My Docs", {"a/x": ["one", "two"], "b/y": ["three"]})


def read(path: Path) -> Any:
    return json.loads(path.read_text())


class TestKit:
    def test_two_folders(self, chunks: Path, tmp_path: Path) -> None:
        made = bundle(chunks, tmp_path / "kit", BundleOptions("me"))
        assert made.id == "me/qembed-my-docs"
        names = {path.relative_to(tmp_path / "kit").parts[:2] for path in (tmp_path / "kit").rglob("*.*")}
        assert {part[0] for part in names} == {"dataset", "kernel"}
        assert len(list(made.dataset.glob("qembed_toolkit-*-py3-none-any.whl"))) == 1
        assert read(made.dataset / "chunks/My Docs/a/x_chunks.json") == read(chunks / "a/x_chunks.json")
        assert made.commands[0] == f"kaggle datasets create -p {made.dataset} -r zip"
        assert made.commands[1] == f"kaggle kernels push -p {made.kernel}"

    def test_metadata_as_the_client_documents_it(self, chunks: Path, tmp_path: Path) -> None:
        """Titles of 6 to 50 characters; the notebook's slug is its title with dashes (docs of the client)."""
        made = bundle(chunks, tmp_path / "kit", BundleOptions("me"))
        dataset, kernel = (
            read(made.dataset / "dataset-metadata.json"),
            read(made.kernel / "kernel-metadata.json"),
        )
        assert dataset == {
            "title": "qembed my docs",
            "id": "me/qembed-my-docs",
            "licenses": [{"name": "unknown"}],
        }
        assert kernel["id"] == "me/" + kernel["title"].lower().replace(" ", "-")
        assert (kernel["machine_shape"], kernel["enable_gpu"], kernel["enable_internet"]) == (
            "NvidiaTeslaT4",
            True,
            True,
        )
        assert kernel["dataset_sources"] == [dataset["id"]]
        assert (kernel["kernel_type"], kernel["language"], kernel["is_private"]) == (
            "notebook",
            "python",
            True,
        )
        assert (made.kernel / kernel["code_file"]).is_file()

    def test_the_notebook_finds_its_input_where_kaggle_mounts_it(self, chunks: Path, tmp_path: Path) -> None:
        made = bundle(chunks, tmp_path / "kit", BundleOptions("me"))
        cells = read(made.kernel / "notebook.ipynb")["cells"]
        (settings,) = ("".join(cell["source"]) for cell in cells if cell["id"] == "settings")
        assert 'DATASET="qembed-my-docs"' in settings
        mounted = tmp_path / "root/kaggle/input/datasets/me/qembed-my-docs"
        mounted.parent.mkdir(parents=True)
        made.dataset.rename(mounted)
        assert kaggle.find_input("qembed-my-docs", tmp_path / "root") == mounted / "chunks/My Docs"

    def test_one_file_on_a_cpu(self, chunks: Path, tmp_path: Path) -> None:
        options = BundleOptions("me", "some-name", NotebookOptions(model="minilm", device="cpu"))
        made = bundle(chunks / "a/x_chunks.json", tmp_path / "kit", options)
        kernel = read(made.kernel / "kernel-metadata.json")
        assert (made.id, kernel["enable_gpu"], "machine_shape" in kernel) == ("me/some-name", False, False)
        assert len(list((made.dataset / "chunks").rglob("x_chunks.json"))) == 1

    def test_without_internet(self, chunks: Path, tmp_path: Path) -> None:
        (tmp_path / "wheels").mkdir()
        (tmp_path / "wheels/bm25s-1-py3-none-any.whl").write_bytes(b"w")
        weights = "me/code/transformers/default/1"
        options = BundleOptions("me", internet=False, wheels=tmp_path / "wheels", model_input=weights)
        made = bundle(chunks, tmp_path / "kit", options)
        kernel = read(made.kernel / "kernel-metadata.json")
        assert (kernel["enable_internet"], kernel["model_sources"]) == (False, [weights])
        assert (made.dataset / "bm25s-1-py3-none-any.whl").is_file()
        assert weights in (made.kernel / "notebook.ipynb").read_text()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (BundleOptions("Not A User"), "no name of a Kaggle account"),
            (BundleOptions("me", "short"), "no dataset called 'short'"),
            (BundleOptions("me", "with spaces in it"), "no dataset called"),
            (BundleOptions("me", model_input="a/b"), "no model of Kaggle"),
            (BundleOptions("me", internet=False), "must be inputs of the session"),
        ],
    )
    def test_what_kaggle_does_not_take(
        self, chunks: Path, tmp_path: Path, options: BundleOptions, words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            bundle(chunks, tmp_path / "kit", options)
        assert not (tmp_path / "kit").exists()

    def test_again(self, chunks: Path, tmp_path: Path) -> None:
        bundle(chunks, tmp_path / "kit", BundleOptions("me"))
        with pytest.raises(OutputExists, match="a kit is there"):
            bundle(chunks, tmp_path / "kit", BundleOptions("me"))
        bundle(chunks, tmp_path / "kit", BundleOptions("me", force=True))

    def test_nothing_to_embed(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            bundle(tmp_path / "nowhere", tmp_path / "kit", BundleOptions("me"))


class TestWheel:
    def test_it_is_a_wheel_of_this_package(self, tmp_path: Path) -> None:
        path = write_wheel(tmp_path)
        with zipfile.ZipFile(path) as wheel:
            assert wheel.testzip() is None
            names = wheel.namelist()
            information = names[-1].rpartition("/")[0]
            metadata = Parser().parsestr(wheel.read(f"{information}/METADATA").decode())
            records = wheel.read(f"{information}/RECORD").decode().splitlines()
        assert metadata["Name"] == "qembed-toolkit"
        assert any(line.startswith("torch") for line in metadata.get_all("Requires-Dist", []))
        assert {line.split(",")[0] for line in records} == set(names)
        for name in ("qembed/models/catalog.toml", "qembed/eval_sets/tiny/queries.jsonl", "qembed/py.typed"):
            assert name in names
        assert not [name for name in names if name.endswith((".so", ".pyc"))]

    def test_pip_installs_it_and_it_runs(self, tmp_path: Path) -> None:
        path = write_wheel(tmp_path)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
        done = subprocess.run(
            [*install, tmp_path / "site", path], capture_output=True, text=True, check=False
        )
        if "No module named pip" in done.stderr:
            pytest.skip("this Python has no pip")
        assert done.returncode == 0, done.stderr
        ran = subprocess.run(
            [sys.executable, "-c", "import qembed; print(qembed.__file__, qembed.__version__)"],
            env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.startswith(str(tmp_path / "site"))


class TestModelInput:
    @pytest.mark.parametrize(
        "mounted", ["models/me/code/transformers/default/1", "code/transformers/default/1"]
    )
    def test_is_found_where_kaggle_mounts_it(self, tmp_path: Path, tiny: Path, mounted: str) -> None:
        folder = tmp_path / "kaggle/input" / mounted
        folder.parent.mkdir(parents=True)
        folder.symlink_to(tiny)
        assert kaggle.find_model("me/code/transformers/default/1", tmp_path).resolve() == tiny.resolve()

    def test_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match="no input of this notebook is the model me/code"):
            kaggle.find_model("me/code/transformers/default/1", tmp_path)


def test_the_command(run_cli: RunCli, chunks: Path, tmp_path: Path) -> None:
    ran = run_cli(["kaggle", "bundle", chunks, "-o", tmp_path / "kit", "--user", "me"])
    assert ran.code == 0
    assert "kaggle kernels push -p" in ran.out
    assert run_cli(["kaggle", "bundle", chunks, "-o", tmp_path / "kit", "--user", "me"]).code == 2


def test_titles() -> None:
    assert dataset_metadata("me/qembed-a-b")["title"] == "qembed a b"
    kernel = kernel_metadata("me/qembed-a-b", gpu=False, internet=False, model_input=None)
    assert (kernel["model_sources"], kernel["title"]) == ([], "qembed a b run")
