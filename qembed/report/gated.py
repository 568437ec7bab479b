"""Which stored bench vouches for embeddings: its gates passed, for exactly these files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qembed.errors import CheckFailed, Mismatch
from qembed.report.stored import DOCUMENT, read_document, stored_benches
from qembed.shell import shell_line


def bench_that_passed(reports: Path, embeddings_sha256: str, *, embeddings: Path) -> Path:
    """The newest bench of these embeddings that had gates; its folder.

    The embeddings must be what the bench was about, not its baseline.

    Args:
        reports: A folder of stored benches, or one of them.
        embeddings_sha256: Hash of their files, as the manifest has it.
        embeddings: For the command line in messages.

    Raises:
        CheckFailed: There is none, or a gate of it failed.
    """
    benches = _benches(reports)
    ours = [(folder, document) for folder, document in benches if _is_of(document, embeddings_sha256)]
    gated = [(folder, document) for folder, document in ours if document["gates"]]
    command = shell_line("qembed", "bench", embeddings, "-e", "EVAL_SET", "--gate", "nDCG@10>=0.4")
    if not gated:
        some = "is of these embeddings, and it had no gate" if ours else "is of these embeddings"
        latest = f"{ours[-1][0].name} {some}" if ours else f"none of {len(benches)} stored benches {some}"
        latest = latest if benches else "there is no stored bench"
        raise CheckFailed(
            f"no bench vouches for these embeddings: {latest}", where=str(reports), remedy=command
        )
    folder, document = gated[-1]
    if not document["passed"]:
        failed = "; ".join(gate["words"] for gate in document["gates"] if not gate["passed"])
        raise CheckFailed(
            f"the newest bench of these embeddings did not pass: {failed}",
            where=str(folder),
            remedy=f"{shell_line('qembed', 'report', folder)} shows where they lose; without --gate they are "
            "uploaded anyway",
        )
    return folder


def _benches(reports: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Every stored bench that this version reads, the newest last."""
    folders = [reports] if (reports / DOCUMENT).is_file() else stored_benches(reports)
    found = []
    for folder in folders:
        try:
            found.append((folder, read_document(folder)))
        except Mismatch:  # of another version: it vouches for nothing
            continue
    return found


def _is_of(document: dict[str, Any], embeddings_sha256: str) -> bool:
    sides = document["sides"]
    return bool(sides) and sides[0].get("embeddings_sha256") == embeddings_sha256
