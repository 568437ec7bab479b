"""``qembed evalset``: check, count, convert and draft eval sets; merge judgements."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from qembed.commands.evalset.judge_cli import judge
from qembed.terminal.options import INPUT, JSON, CommandGroup, Form, corpus_options, output_options
from qembed.terminal.output import say

if TYPE_CHECKING:
    from rich.console import RenderableType

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
SPLIT = click.option(
    "--split", metavar="NAME", help="Name of the qrels file.  [default: from the card, else test]"
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress.")


@click.group(cls=CommandGroup, short_help="Check, count, convert and draft eval sets.")
def command() -> None:
    """Work with eval sets: queries, and judgements of what answers them.

    \b
    Examples:
      qembed evalset check eval_sets/handbook --corpus docs_chunks/
      qembed evalset stats scifact/
      qembed evalset convert scifact/ scifact_trec/ --to trec
      qembed evalset draft chunks/ -o my_eval_set
      qembed evalset merge-judgements my_eval_set qrels.tsv
      qembed evalset judge reports/
    """


@command.command("check", short_help="Check an eval set and its ids.")
@FOLDER
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Chunks or embeddings that were judged.  [default: FOLDER/corpus.jsonl, if there is one]",
)
@SPLIT
@corpus_options
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--all", "show_all", is_flag=True, help="List every finding, not only the first of each kind.")
@QUIET
@JSON
@click.pass_context
def check(
    ctx: click.Context,
    /,
    folder: Path,
    corpus: Path | None,
    split: str | None,
    strict: bool,
    show_all: bool,
    quiet: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Check the lines and ids of an eval set, and whether its corpus has the judged items.

    FOLDER holds queries.jsonl and qrels/, with or without a card.toml, such as a BEIR folder. Every finding
    names its line.

    Exit code 0: sound (warnings are allowed); 3: errors were found.

    \b
    Examples:
      qembed evalset check scifact/
      qembed evalset check my_eval_set --corpus chunks/
      qembed evalset check my_eval_set --corpus out/ --strict --json
    """
    from qembed.commands.evalset.evalset import check_eval_set
    from qembed.commands.evalset.view import SHOWN, check_document, render_check
    from qembed.corpus import CorpusOptions
    from qembed.terminal.output import print_json
    from qembed.terminal.progress import make_progress

    checked = check_eval_set(
        folder, corpus, CorpusOptions(**choices), split=split, progress=make_progress(quiet=quiet or as_json)
    )
    if as_json:
        print_json(check_document(checked, strict=strict))
    else:
        _show(render_check(checked, strict=strict, shown=None if show_all else SHOWN))
    if not checked.sound(strict=strict):
        ctx.exit(3)


@command.command("stats", short_help="Count queries, judgements and grades.")
@FOLDER
@SPLIT
@output_options
def stats(folder: Path, split: str | None, form: Form | None) -> None:
    """Count queries, judgements, grades and words of an eval set.

    \b
    Examples:
      qembed evalset stats scifact/
      qembed evalset stats scifact/ --split train --json
    """
    from qembed.commands.evalset.view import render_stats, stats_document, stats_values
    from qembed.evaluation.eval_sets.eval_set import load_eval_set
    from qembed.evaluation.eval_sets.stats import eval_set_stats
    from qembed.terminal.output import print_json, print_values

    eval_set = load_eval_set(folder, split=split)
    counted = eval_set_stats(eval_set)
    if form == "json":
        print_json(stats_document(eval_set, counted))
    elif form:
        print_values(stats_values(eval_set, counted), form)
    else:
        _show(render_stats(eval_set, counted))


@command.command("convert", short_help="Convert between BEIR and TREC files.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["beir", "trec"]), required=True, help="Format to write.")
@JSON
@click.pass_context
def convert(
    ctx: click.Context, source: Path, output: Path, to: Literal["beir", "trec"], as_json: bool
) -> None:
    """Convert an eval set between BEIR and TREC files.

    IN is a folder with queries and qrels in either format, converted with all its splits, or one qrels file.
    OUT must be new. The corpus is not copied.

    Exit code 0: everything was converted; 3: lines that cannot be read are missing in OUT, and are named.

    \b
    Examples:
      qembed evalset convert scifact/ scifact_trec/ --to trec
      qembed evalset convert qrels.dev.txt dev.tsv --to beir
    """
    from qembed.commands.evalset.evalset import convert_eval_set
    from qembed.commands.evalset.view import converted_document, render_converted
    from qembed.evaluation.eval_sets.corpora import BEIR_CORPUS
    from qembed.evaluation.eval_sets.findings import severity
    from qembed.terminal.output import print_json

    converted = convert_eval_set(source, output, to=to)
    if as_json:
        print_json(converted_document(converted))
    else:
        _show(render_converted(converted, (source / BEIR_CORPUS).is_file()))
    lost = [found for found in converted.findings if severity(found) == "error"]
    for found in lost:
        say(f"{found}", err=True)
    if lost:
        ctx.exit(3)


@command.command("draft", short_help="Propose queries from your own chunks.")
@INPUT
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to make."
)
@click.option(
    "--queries",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Most queries to propose.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Random seed; another seed chooses other queries."
)
@corpus_options
@click.option("--force", is_flag=True, help="Replace card, queries and qrels in a folder that is not empty.")
@QUIET
@JSON
def draft(
    input: Path,
    output: Path,
    queries: int,
    seed: int,
    force: bool,
    quiet: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Propose queries from the chunks below INPUT, as a starting set to be edited.

    Queries are headings, questions in the text, and first lines of docstrings, each linked to the chunks it
    came from. They are spread over subdirectories and pages, without near-duplicates and without navigation.
    The words of a query are in its chunk, which flatters every system, and BM25 most. So the set is marked
    synthetic, and reports say so, until a person has rewritten and judged it.

    \b
    Examples:
      qembed evalset draft chunks/ -o my_eval_set
      qembed evalset draft chunks/ -o my_eval_set --queries 50 --seed 7
    """
    from qembed.commands.evalset.evalset import draft_eval_set
    from qembed.commands.evalset.view import draft_document, render_draft
    from qembed.corpus import CorpusOptions
    from qembed.terminal.output import print_json
    from qembed.terminal.progress import make_progress

    made = draft_eval_set(
        input,
        output,
        CorpusOptions(**choices),
        queries=queries,
        seed=seed,
        force=force,
        progress=make_progress(quiet=quiet or as_json),
    )
    if as_json:
        print_json(draft_document(made))
        return
    _show(render_draft(made, input, queries))


@command.command("merge-judgements", short_help="Merge judgements from a report into the qrels.")
@FOLDER
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@SPLIT
@click.option("--judge", metavar="NAME", help="Name of the judge, for files that do not say it.")
@click.option(
    "--on-conflict",
    type=click.Choice(["keep", "replace"]),
    default="keep",
    show_default=True,
    help="Which grade wins if an item has another one already: that one, or the new one.",
)
@click.option(
    "--bench",
    type=click.Path(path_type=Path),
    metavar="REPORT",
    help="Stored bench that was judged (reports/: the newest): its questions make a new eval set in FOLDER "
    "if there is none, and how its comparison stands is printed.",
)
@click.option(
    "--conflicts",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write items with several grades to FILE, for somebody to decide.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@JSON
@click.pass_context
def merge(
    ctx: click.Context,
    folder: Path,
    files: tuple[Path, ...],
    split: str | None,
    judge: str | None,
    on_conflict: Literal["keep", "replace"],
    bench: Path | None,
    conflicts: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Merge judgements that were exported from a report (qrels.tsv) into the eval set in FOLDER.

    New grades are added to the qrels, and the next bench uses them. Every judgement goes into
    judgements.jsonl in FOLDER, with judge and time: no grade is lost, and none is replaced unless you say so.
    A person's grade outranks that of a language model (a judge called model:NAME). If two judges graded the
    same items, their agreement is printed: the share of equal grades, and Cohen's kappa with its interval.

    Exit code 0: merged; 3: merged, but the qrels keep other grades for some items, which are shown.

    \b
    Examples:
      qembed evalset merge-judgements my_eval_set qrels.tsv
      qembed evalset merge-judgements my_set qrels.tsv --bench reports/0004_mine
      qembed evalset merge-judgements my_eval_set anna.tsv ben.tsv --dry-run
      qembed evalset merge-judgements my_set anna.tsv ben.tsv --conflicts open.tsv
      qembed evalset merge-judgements my_eval_set qrels.tsv --on-conflict replace
    """
    from qembed.commands.evalset.judgements import merge_judgements, write_conflicts
    from qembed.commands.evalset.judging_view import merged_document, render_merged
    from qembed.terminal.output import print_json

    merged = merge_judgements(
        folder, files, split=split, judge=judge, on_conflict=on_conflict, bench=bench, dry_run=dry_run
    )
    if conflicts is not None:
        write_conflicts(conflicts, merged.conflicts)
    if as_json:
        print_json(merged_document(merged, dry_run=dry_run))
    else:
        _show(render_merged(merged, dry_run=dry_run))
    if merged.count("kept"):
        ctx.exit(3)


def _show(parts: Iterable[RenderableType]) -> None:
    from qembed.terminal.output import console

    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, str), markup=False)  # commands stay whole, to be copied


command.add_command(judge)
