"""``qembed embed``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qembed.cli.options import INPUT, JSON, corpus_options, model_options
from qembed.errors import QembedError

if TYPE_CHECKING:
    from rich.table import Table

    from qembed.api.embed import EmbedResult
    from qembed.corpus import IdFrom
    from qembed.models import Precision


@click.command(short_help="Turn chunks into vectors.")
@INPUT
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("-m", "--model", help="Folder, hub id or short name.  [default: nomic-ai/nomic-embed-code]")
@corpus_options
@model_options
@click.option("--max-length", type=click.IntRange(min=4), metavar="N", help="Tokens read of each text.")
@click.option("--truncate-dim", type=click.IntRange(min=1), metavar="N", help="Keep the first N dimensions.")
@click.option("--normalize/--no-normalize", default=True, show_default=True, help="Vectors of length 1.")
@click.option("--document-prompt", help="Put before every chunk instead of the model's own prompt.")
@click.option("--query-prompt", help="Put before every query later on, instead of the model's own.")
@click.option("--token-budget", type=click.IntRange(min=1), metavar="N", help="Padded tokens of a batch.")
@click.option("--max-batch", type=click.IntRange(min=1), metavar="N", help="Texts of a batch at most.")
@click.option("--strict", is_flag=True, help="Stop (exit 3) on any finding, before the model is loaded.")
@click.option("--force", is_flag=True, help="Replace output that was made otherwise.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@JSON
def command(
    input: Path,
    output: Path,
    model: str | None,
    quiet: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Turn every chunk below INPUT into a vector.

    INPUT is a folder of chunk files in any known layout, or one file. Written to the output folder are
    NAME_embeddings.jsonl, NAME_embedding_summary.json and NAME_embedding_manifest.json. Each unique text
    is encoded once. The same command again does nothing.

    \b
    Examples:
      qembed embed chunks/ -o out/ --model minilm
      qembed embed chunks/ -o out/ --model minilm --limit 10     a sample
      qembed embed chunks/ -o out/ --model minilm --dry-run
      qembed embed scifact/ -o out/ --model BAAI/bge-m3 --device cuda
    """
    from qembed.api.embed import EmbedOptions, embed
    from qembed.cli.output import print_json
    from qembed.cli.progress import make_progress
    from qembed.corpus import CorpusOptions
    from qembed.models import DEFAULT_MODEL, EncoderOptions

    corpus = CorpusOptions(choices["collection"], choices["limit"], cast("IdFrom", choices["id_from"]))
    encoder = EncoderOptions(
        device=choices["device"],
        precision=cast("Precision", choices["precision"]),
        max_length=choices["max_length"],
        truncate_dim=choices["truncate_dim"],
        normalize=choices["normalize"],
        query_prompt=choices["query_prompt"],
        document_prompt=choices["document_prompt"],
        trust_remote_code=choices["trust_remote_code"],
        revision=choices["revision"],
        code_revision=choices["code_revision"],
    )
    options = EmbedOptions(
        model=model or DEFAULT_MODEL,
        corpus=corpus,
        encoder=encoder,
        **{key: choices[key] for key in ("token_budget", "max_batch", "strict", "force", "dry_run")},
    )
    try:
        result = embed(input, output, options, progress=make_progress(quiet=quiet))
    except QembedError as error:
        if model is None and error.remedy and "minilm" in error.remedy:
            working = shlex.join(["qembed", "embed", str(input), "-o", str(output), "--model", "minilm"])
            error.remedy += f"\n       for example: {working}"
        raise
    if as_json:
        files = {name: str(getattr(result.files, name)) for name in ("embeddings", "summary", "manifest")}
        print_json({"status": result.status, "files": files, "summary": result.summary})
    else:
        show(result)


def show(result: EmbedResult) -> None:
    """Print what was done, for people."""
    from qembed.cli.output import console, duration, quantity, share

    out, summary = console(), result.summary
    if result.status == "unchanged":
        out.print(
            f"Nothing to do: {result.files.embeddings} was made from these chunks with these settings.",
            markup=False,
        )
        return
    out.print(_table(summary))
    chunks, unique = summary["total_chunks"], summary["unique_texts"]
    out.print(
        f"{quantity(chunks)} chunks, {quantity(unique)} unique texts "
        f"({share(chunks - unique, chunks)} are exact duplicates)"
    )
    if summary["truncated_chunks"]:
        out.print(
            f"The model reads {quantity(summary['model']['max_tokens'])} tokens: "
            f"{share(summary['truncated_chunks'], chunks)} of the chunks are cut, "
            f"{share(summary['tokens_lost'], summary['total_tokens'])} of the tokens are lost"
        )
    if summary["skipped"]:
        first = _finding(summary["skipped"][0])
        out.print(f"{quantity(len(summary['skipped']))} findings, the first: {first}", markup=False)
    if result.status == "planned":
        out.print(
            f"Would run {quantity(summary['batches'])} batches of at most "
            f"{quantity(summary['token_budget'])} padded tokens "
            f"({summary['padding_waste']:.1%} padding); nothing was written."
        )
        return
    out.print(
        f"{summary['vector_dimension']} dimensions, {summary['model']['dtype']}, on "
        f"{summary['devices'][0]['name']}: {summary['texts_per_sec']:.1f} texts/s, "
        f"{quantity(summary['tokens_per_sec'])} tokens/s",
        markup=False,
    )
    out.print(f"{duration(summary['processing_time_minutes'] * 60)} in all, loading the model included")
    out.print(f"Wrote {result.files.embeddings}", markup=False, soft_wrap=True)


def _table(summary: dict[str, Any]) -> Table:
    from rich.markup import escape

    from qembed.cli.output import quantity, table

    rows = table("subdirectory", ">chunks", ">unique", ">tokens", ">truncated", ">lost")
    keys = ("chunks", "unique_texts", "tokens", "truncated_chunks", "tokens_lost")
    for name, stats in summary["subdirectories"].items():
        rows.add_row(escape(name), *(quantity(stats[key]) for key in keys))
    return rows


def _finding(finding: dict[str, Any]) -> str:
    place = f", line {finding['line']}" if "line" in finding else ""
    place = place or (f", item {finding['item']}" if "item" in finding else "")
    return f"{finding['file']}{place}: {finding['kind']}: {finding['reason']}"
