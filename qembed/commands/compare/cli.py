"""``qembed compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qembed.terminal.options import (
    MARGIN,
    MEASURES,
    RESAMPLES,
    SEED,
    AdvancedCommand,
    Form,
    advanced,
    output_options,
    store_options,
)

PATH = click.Path(path_type=Path)


@click.command(cls=AdvancedCommand, short_help="Which run is better? Runs of any tool, on judged queries.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH)
@click.option(
    "--qrels",
    required=True,
    type=PATH,
    help="File of judgements: BEIR, TREC, CSV, JSON lines or ranx's JSON; or an eval set.",
)
@click.option(
    "--queries",
    type=PATH,
    help="Texts of the queries, for the report: JSON lines, CSV or TSV with ids.  [default: from the "
    "eval set that --qrels is of]",
)
@click.option(
    "--corpus",
    type=PATH,
    help="Texts of the results, for the report: BEIR's corpus.jsonl, a folder of chunks, or embeddings.  "
    "[default: corpus.jsonl of that eval set]",
)
@MEASURES
@MARGIN
@SEED
@RESAMPLES
@advanced(
    "--collection",
    metavar="NAME",
    help="Collection name, the first part of the ids of chunks.  [default: the corpus's name]",
)
@store_options
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@output_options
def command(
    runs: tuple[Path, ...],
    qrels: Path,
    measures: tuple[str, ...],
    reports: Path | None,
    name: str | None,
    quiet: bool,
    form: Form | None,
    **choices: Any,
) -> None:
    """Compare runs, query by query, with the statistics and the verdicts of bench.

    A RUN is what a search found: TREC's six columns, the JSON of ranx, or a table with the columns query_id,
    doc_id and score (CSV, TSV, JSON lines); .gz works too. All others are compared with the first. No model
    and no vectors are needed. `qembed report` makes a page of what is stored.

    Exit code 0: done; 5: a file is no run, or its queries are not the judged ones.

    \b
    Examples:
      qembed compare production.trec candidate.trec --qrels qrels/test.tsv
      qembed compare bm25.json dense.json hybrid.json --qrels qrels.tsv --json
      qembed compare a.csv b.csv --qrels qrels.txt --measure MAP,P@5 --no-store
      qembed compare a.trec b.trec --qrels my_set/ --corpus chunks/
    """
    from qembed.commands.compare.compare import CompareOptions, compare_runs
    from qembed.commands.compare.store import compare_document, store_comparison
    from qembed.commands.compare.view import print_runs, show
    from qembed.evaluation.systems.measured import DEFAULT_MEASURES
    from qembed.store import explained
    from qembed.terminal.output import print_json
    from qembed.terminal.progress import make_progress

    options = CompareOptions(measures=measures or DEFAULT_MEASURES, **choices)
    found = compare_runs(runs, qrels, options, progress=make_progress(quiet=quiet))
    folder = None
    try:
        if reports is not None:
            with explained(reports):
                folder = store_comparison(found, reports, name)
    finally:  # a full disk does not take the numbers away
        if form == "json":
            print_json({**compare_document(found), "folder": str(folder) if folder else None})
        elif form:
            print_runs(found, folder, form)
        else:
            show(found, folder)
