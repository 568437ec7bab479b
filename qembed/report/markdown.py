"""A bench in Markdown, as long as a comment on a pull request may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qembed.report import asked, first, tables, unjudged, verdicts
from qembed.report.embedding import Embedding
from qembed.report.provenance import repeat_commands
from qembed.report.stored import StoredBench
from qembed.report.tables import Cell, Table

_SPECIAL = "\\`*_{}[]<>#|~"


def bench_markdown(bench: StoredBench, embeddings: Sequence[Embedding] = ()) -> str:
    """Verdicts, what they rest on, tables, and how to repeat it."""
    lines = _bench(bench, embeddings) if bench.judged else _unjudged(bench)
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    plain = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in plain)


def markdown_table(table: Table) -> Iterator[str]:
    """A table of GitHub's Markdown; small print goes behind the number."""
    yield f"**{escaped(table.caption)}**"
    yield ""
    yield from table_lines(table.head, [map(_cell, row) for row in [*table.rows, *table.foot]])
    yield ""
    if table.note:
        yield f"<sub>{escaped(table.note)}</sub>"
        yield ""


def table_lines(head: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Head and rows of a table; a name in the head that begins with ``>`` stands above numbers.

    Args:
        head: Names as plain text.
        rows: Cells in Markdown.
    """
    yield _line(escaped(name.removeprefix(">")) or " " for name in head)
    yield _line("--:" if name.startswith(">") else "---" for name in head)
    for row in rows:
        yield _line(row)


def code_block(text: str) -> list[str]:
    """A fenced block whose fence is longer than any in the text."""
    longest = max((len(part) for part in text.split("\n") if part.strip("`") == ""), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]


def _unjudged(bench: StoredBench) -> Iterator[str]:
    found = unjudged.first_screen(bench)
    yield f"### {escaped(found['title'])}"
    yield ""
    for part in (found["agreement"], found["time"]):
        if part is not None:
            yield from markdown_table(part)
    yield f"Judge {found['unjudged']:,} results in the report, export them, then:"
    yield ""
    yield f"    {found['merge']}"


def _bench(bench: StoredBench, embeddings: Sequence[Embedding]) -> Iterator[str]:
    question = asked.asked(bench)
    yield f"### {escaped(asked.headline(bench, question))}"
    yield ""
    gates = tables.gate_table(bench)
    if gates is not None:
        yield from markdown_table(gates)
    for words in first.level(bench, question):
        yield f"- {escaped(words)}"
    for name, words in asked.advice(bench):
        yield f"- {escaped(name)}: {escaped(words)}"
    yield ""
    for words in first.cautions(bench, question):
        yield f"> **Caution**: {escaped(words)}"
        yield ">"
    for words in first.judging(bench):
        yield f"- {escaped(words)}"
    yield ""
    for answer in verdicts.in_order(verdicts.answers(bench)):
        yield f"- {answer.mark} **{escaped(answer.system)}: {answer.verdict}.** {escaped(answer.sentence)}  "
        yield f"  <sub>{escaped(answer.details)}</sub>"
    yield ""
    yield from markdown_table(tables.quality_table(bench))
    time = tables.time_table(bench)
    if time is not None:
        yield from markdown_table(time)
    yield "<details><summary>What this rests on, and how to repeat it</summary>"
    yield ""
    for label, words in verdicts.basis(bench):
        yield f"- {label}: {escaped(words)}"
    yield ""
    yield from code_block(
        "\n".join(line or f"# {why}" for why, line in repeat_commands(bench, list(embeddings)))
    )
    yield ""
    yield "</details>"


def _cell(cell: Cell) -> str:
    parts = [part for part in (cell.mark, escaped(cell.text)) if part]
    note = f" <sub>{escaped(cell.note)}</sub>" if cell.note else ""
    return (" ".join(parts) or " ") + note


def _line(parts: Iterable[str]) -> str:
    return f"| {' | '.join(parts)} |"
