"""``report``: pages from what was stored. No score is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from qembed.report.ci import bench_annotations, bench_junit
from qembed.report.embedding import Checked, Embedding, read_checked, read_embedding
from qembed.report.page import LIMIT_BYTES, bench_page
from qembed.report.stored import StoredBench, read_bench
from qembed.store import atomic_file

ReportFormat: TypeAlias = Literal["html", "md", "junit", "github"]
CompareFormat: TypeAlias = Literal["html", "md", "json", "csv"]
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What goes into a report.

    Attributes:
        embeddings: Files of embeddings, or their folders, whose runs are shown; those that the bench names,
            where they are still there, when empty.
        checks: Files with what ``audit --json`` or ``verify --json`` printed.
        links: Address of a page of the corpus with ``{page}`` in it; ``https:``, ``file:`` or relative.
        limit_bytes: What a page may have.
    """

    embeddings: tuple[Path, ...] = ()
    checks: tuple[Path, ...] = ()
    links: str | None = None
    limit_bytes: int = LIMIT_BYTES


def make_report(
    bench: Path, options: ReportOptions = ReportOptions(), *, format: ReportFormat = "html"
) -> tuple[Path, str]:
    """A stored bench as a page, or as text for people and machines; nothing is written.

    Args:
        bench: Its folder, its ``bench.json``, or a folder of numbered benches, of which the newest is taken.
        options: What goes in.
        format: ``html``, one self-contained file; ``md``, short, for a pull request; ``junit``, XML with a
            test case per gate; ``github``, annotations for GitHub Actions.

    Returns:
        The folder of the bench, and the text.

    Raises:
        InputNotFound: The bench, or a file that was named, is not there.
        Mismatch: A file is something else.
    """
    stored = read_bench(Path(bench))
    if format == "junit":
        return stored.folder, bench_junit(stored)
    if format == "github":
        return stored.folder, "\n".join(bench_annotations(stored))
    embeddings = _embeddings(stored, options.embeddings)
    if format == "md":
        from qembed.report.markdown import bench_markdown

        return stored.folder, bench_markdown(stored, embeddings)
    checked: list[Checked] = [read_checked(Path(path)) for path in options.checks]
    page = bench_page(stored, embeddings, checked, links=options.links, limit_bytes=options.limit_bytes)
    return stored.folder, page


def compare_reports(first: Path, second: Path, *, format: CompareFormat = "html") -> str:
    """Two stored benches of one eval set, system by system, paired by query; nothing is written.

    Args:
        first: Before.
        second: After.
        format: A page, Markdown, one JSON document, or CSV with one row per system.

    Raises:
        InputNotFound: One is not there.
        Mismatch: They have no query, no measure or no system in common.
    """
    from qembed.report.compare import compare_markdown, compare_page, pair_benches
    from qembed.report.compare_data import compare_csv, compare_json

    pair = pair_benches(read_bench(Path(first)), read_bench(Path(second)))
    makers = {"html": compare_page, "md": compare_markdown, "json": compare_json, "csv": compare_csv}
    return makers[format](pair)


def index_reports(reports: Path) -> str:
    """A page that lists the stored benches below ``reports``; nothing is written.

    Raises:
        InputNotFound: There is none.
    """
    from qembed.report.index_page import index_page

    return index_page(Path(reports))


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all; missing folders are made.

    Raises:
        QembedError: The disk is full or cannot be written.
    """
    from qembed.store import explained

    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(text.encode())


def _embeddings(stored: StoredBench, given: Sequence[Path]) -> list[Embedding]:
    if given:
        return [found for path in given if (found := read_embedding(Path(path))) is not None]
    paths = dict.fromkeys(Path(side["embeddings"]) for side in stored.document["sides"])
    return [found for path in paths if (found := read_embedding(path)) is not None]
