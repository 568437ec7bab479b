"""``qembed compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qembed.terminal.options import MARGIN, RESAMPLES, SEED, AdvancedCommand, Form, output_options


@click.command(cls=AdvancedCommand, short_help="Which run is better? Runs of any tool, on judged queries.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--qrels",
    required=True,
    type=click.Path(path_type=Path),
    help="File of judgements: BEIR, TREC, CSV or JSON lines.",
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="MEASURE",
    help="For instance nDCG@10 or recall@100; repeatable, the first decides.  "
    "[default: nDCG@10, recall@10, recall@100, MRR@10, judged@10]",
)
@MARGIN
@SEED
@RESAMPLES
@output_options
def command(
    runs: tuple[Path, ...], qrels: Path, measures: tuple[str, ...], form: Form | None, **choices: Any
) -> None:
    """Compare runs, query by query, with the statistics and the verdicts of bench.

    A RUN is what a search found: TREC's six columns, the JSON of ranx, or a table with the columns query_id,
    doc_id and score (CSV, TSV, JSON lines); .gz works too. All others are compared with the first. No model
    and no vectors are needed.

    Exit code 0: done; 5: a file is no run, or its queries are not the judged ones.

    \b
    Examples:
      qembed compare production.trec candidate.trec --qrels qrels/test.tsv
      qembed compare bm25.json dense.json hybrid.json --qrels qrels.tsv --json
      qembed compare a.csv b.csv --qrels qrels.txt --measure MAP --measure P@5
    """
    from qembed.commands.compare.compare import MEASURES, CompareOptions, compare_document, compare_runs
    from qembed.commands.compare.view import print_runs, show
    from qembed.terminal.output import print_json

    found = compare_runs(runs, qrels, CompareOptions(measures=measures or MEASURES, **choices))
    if form == "json":
        print_json(compare_document(found))
    elif form:
        print_runs(found, form)
    else:
        show(found)
