"""``kill -9`` at every step of a run: never half a file under a final name, and the next run succeeds."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.models import EncoderOptions

REPOSITORY = Path(__file__).parents[3]
WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]

STEPS = {
    "while reading": ("qembed.store.spool.Spool.append", 50),
    "before the first batch": ("qembed.models.encoder.Encoder.submit", 1),
    "between batches": ("qembed.models.encoder.Encoder.submit", 4),
    "while writing": ("qembed.store.jsonl.record_line", 150),
    "before the journal is on the disk": ("os.fsync", 2),
    "before the embeddings are on the disk": ("os.fsync", 3),
    "before the summary is on the disk": ("os.fsync", 4),
    "before the manifest is on the disk": ("os.fsync", 5),
    "before all is complete": ("pathlib.Path.replace", 5),
    "before the embeddings take their name": ("pathlib.Path.replace", 6),
    "before the summary takes its name": ("pathlib.Path.replace", 7),
    "before the manifest takes its name": ("pathlib.Path.replace", 8),
    "after all": ("qembed.commands.embed.embed.EmbedResult", 1),
}

# One process imports the libraries (seconds), then each step gets a child of its own (milliseconds).
DRIVER = """
import json, os, signal, sys
from importlib import import_module
from pathlib import Path
import sentence_transformers
import transformers.models.bert.modeling_bert
from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.models import EncoderOptions

def killed_at(target, number):
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = import_module(".".join(parts[:cut]))
            break
        except ImportError:
            continue
    for name in parts[cut:-1]:
        owner = getattr(owner, name)
    original, calls = getattr(owner, parts[-1]), []
    def hook(*arguments, **options):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(owner, parts[-1], hook)

steps, chunks, model, root = json.loads(sys.argv[1])
options = EmbedOptions(model=model, encoder=EncoderOptions(device="cpu", precision="fp32"), token_budget=200)
children = {}
for name, (target, number) in steps.items():
    child = os.fork()
    if child == 0:
        killed_at(target, number)
        embed(Path(chunks), Path(root) / name, options)
        os._exit(0)
    children[child] = name
for child, name in children.items():
    print(json.dumps([name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]), flush=True)
"""


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks) -> Path:
    texts = [f"chunk {n % 180}: a vector and a point " + "x " * (n % 17) for n in range(200)]
    return write_chunks(tmp_path_factory.mktemp("killed") / "docs", {"a/x": texts[:90], "b/y": texts[90:]})


@pytest.fixture(scope="module")
def broken(chunks: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each step, as the killed run left it."""
    root = tmp_path_factory.mktemp("broken")
    arguments = json.dumps([STEPS, str(chunks), str(tiny), str(root)])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ended = dict(json.loads(line) for line in done.stdout.splitlines())
    assert ended == dict.fromkeys(STEPS, -signal.SIGKILL), done.stderr
    return root


@pytest.fixture(scope="module")
def options(tiny: Path) -> EmbedOptions:
    return EmbedOptions(
        model=str(tiny), encoder=EncoderOptions(device="cpu", precision="fp32"), token_budget=200
    )


@pytest.fixture(scope="module")
def unbroken(chunks: Path, options: EmbedOptions, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return embed(chunks, tmp_path_factory.mktemp("unbroken"), options).files.embeddings.read_bytes()


def check_whole(out: Path, expected: bytes) -> None:
    """What stands under a final name is complete."""
    for path in out.iterdir():
        if path.name.endswith("_embeddings.jsonl"):
            assert path.read_bytes() == expected
        elif not path.name.startswith("."):
            json.loads(path.read_bytes())


@pytest.mark.parametrize("step", STEPS)
def test_the_next_run_succeeds_and_equals_an_unbroken_one(
    step: str, broken: Path, chunks: Path, options: EmbedOptions, unbroken: bytes
) -> None:
    out = broken / step
    check_whole(out, unbroken)
    result = embed(chunks, out, options)
    was_complete = step.endswith("name") or step == "after all"
    assert result.status == ("unchanged" if was_complete else "written")
    assert result.files.embeddings.read_bytes() == unbroken
    assert sorted(path.name for path in out.iterdir()) == [
        "docs_embedding_manifest.json",
        "docs_embedding_summary.json",
        "docs_embeddings.jsonl",
    ]


@pytest.mark.slow
def test_killed_at_random_moments(
    chunks: Path, tiny: Path, tmp_path: Path, options: EmbedOptions, unbroken: bytes
) -> None:
    """The command line as a user runs it."""
    command = [
        sys.executable,
        "-m",
        "qembed",
        "embed",
        chunks,
        "-o",
        tmp_path,
        "--model",
        tiny,
        "--precision",
        "fp32",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    arguments = [*map(str, command), "--token-budget", "200"]
    started = time.perf_counter()
    subprocess.run([*arguments, "--dry-run"], env=environment, check=True, capture_output=True)
    randomly = random.Random(3)
    for _ in range(8):
        child = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(randomly.uniform(0.2, 1.0) * (4 + time.perf_counter() - started) / 2)
        child.kill()
        child.wait()
        check_whole(tmp_path, unbroken)
        started = time.perf_counter()
    result = embed(chunks, tmp_path, options)
    assert result.files.embeddings.read_bytes() == unbroken
