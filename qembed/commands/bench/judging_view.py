"""What a bench says in a terminal of its judgements: which queries have none, and what more could decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qembed.shell import shell_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.bench.result import BenchResult


def waiting(result: BenchResult) -> Iterator[RenderableType]:
    """Queries without a number, and what to do about them."""
    from rich.text import Text

    found, shown = result.waiting, len(result.asked_along)
    if found.elsewhere:
        yield Text(
            f"note: {found.elsewhere:,} more queries are judged in other splits only; they are left out"
        )
    if not found.queries:
        return
    whole = len(found.queries) + len(result.qrels)
    first = "" if shown == len(found.queries) else f" (of the first {shown})"
    yield Text(
        f"note: {len(found.queries):,} of {whole:,} queries are not judged: they are in no number. Their "
        f"results are stored{first}; to judge them: qembed report, then\n"
        f"  {shell_line('qembed', 'evalset', 'merge-judgements', result.eval_set.folder, 'qrels.tsv')}",
        style="yellow",
    )


def outlook(result: BenchResult) -> Iterator[RenderableType]:
    """What judging more can decide, where the verdict is open or queries wait."""
    from rich.text import Text

    found = result.outlook
    if found is None or not found.left:
        return
    system, baseline = result.headline
    verdicts = {row.system.name: row.comparisons for row in result.rows}
    compared = verdicts[system] or verdicts[baseline]
    if result.waiting.queries or compared[str(result.measures[0])].verdict == "cannot tell":
        yield Text(found.words(system, baseline))
