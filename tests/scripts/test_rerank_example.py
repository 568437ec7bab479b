"""The example of reranking, run as a user runs it, with the real small model."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qembed.commands.embed.embed import EmbedOptions, embed

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "rerank_example.py"
TEXTS = [
    "Points are deleted by their ids, or by a filter on their payload.",
    "A bee collects nectar and makes honey.",
    "HNSW is a graph of neighbours for approximate search.",
    "The highest mountain on Earth is Mount Everest.",
]


def test_what_moved_is_shown(
    tmp_path: Path, write_chunks: Callable[[Path, Mapping[str, Sequence[Any]]], Path], minilm: Path
) -> None:
    write_chunks(tmp_path / "kb", {"docs/a": TEXTS})
    embed(tmp_path / "kb", tmp_path / "out", EmbedOptions(model="minilm"))
    question = "how do I delete points by a filter?"
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), question, "--reranker", "maxsim:minilm"]
    done = subprocess.run([*command, "--show", "3"], capture_output=True, text=True, check=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("4 results reranked in ")
    assert re.match(r"  1  (up \d|same) +\d+\.\d{3}  kb:docs:a", lines[1])
    assert lines[2].strip() == TEXTS[0]
    assert len(lines) == 1 + 2 * 3
