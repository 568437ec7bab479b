"""``qembed embed``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qembed.errors import CheckFailed, QembedError
from qembed.shell import shell_line
from qembed.terminal.options import (
    DURATION,
    JSON,
    MAX_BATCH,
    MAX_LENGTH,
    MEMORY_BUFFER,
    TOKEN_BUDGET,
    TRUNCATE_DIM,
    AdvancedCommand,
    advanced,
    corpus_options,
    model_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from qembed.commands.embed.embed import EmbedOptions, EmbedResult
    from qembed.corpus import IdFrom


@click.command(cls=AdvancedCommand, short_help="Turn chunks into vectors.")
@click.argument("input", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("-m", "--model", help="Folder, hub id or short name.  [default: nomic-ai/nomic-embed-code]")
@corpus_options
@model_options
@MAX_LENGTH
@TRUNCATE_DIM
@click.option(
    "--normalize/--no-normalize",
    default=None,
    help="Scale vectors to length 1.  [default: yes, unless the model is made for the dot product]",
)
@advanced(
    "--pooling",
    type=click.Choice(["cls", "mean", "max", "last-token", "weighted-mean"]),
    help="How the states of tokens become one vector, for a model without modules.json.",
)
@advanced("--document-prompt", help="Prompt before every chunk, instead of the model's own.")
@advanced("--query-prompt", help="Prompt before every query later on, instead of the model's own.")
@TOKEN_BUDGET
@MAX_BATCH
@MEMORY_BUFFER
@click.option("--shard", is_flag=True, help="Spread the model over all GPUs: one worker.")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "parquet", "npy"]),
    default="jsonl",
    show_default=True,
    help="Format of the output.",
)
@advanced("--shard-records", type=click.IntRange(min=1), metavar="N", help="Most records per output file.")
@click.option(
    "--cache", type=click.Path(path_type=Path), metavar="DIR", help="Folder that keeps vectors across runs."
)
@click.option("--time-limit", type=DURATION, help="Time after which to stop, e.g. 11h.")
@advanced(
    "--stall-timeout",
    type=DURATION,
    default="15m",
    show_default=True,
    help="Time without an answer after which a worker is replaced.",
)
@advanced(
    "--empty-cache-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Batches after which a GPU's unused memory is given back.  [default: never]",
)
@click.option("--zip", "zipped", is_flag=True, help="Put the output into one archive, for download.")
@click.option("--strict", is_flag=True, help="Stop (exit 3) on any finding, before the model is loaded.")
@click.option("--force", is_flag=True, help="Replace output that was made with other inputs or settings.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--log-json", is_flag=True, help="Progress as JSON on stderr, one object per line.")
@advanced("--log-every", type=DURATION, default="10s", show_default=True, help="Time between lines of a log.")
@JSON
def command(
    input: Path | None,
    output: Path | None,
    model: str | None,
    quiet: bool,
    as_json: bool,
    zipped: bool,
    **choices: Any,
) -> None:
    """Turn every chunk below INPUT into a vector.

    INPUT is a folder of chunk files in any known layout, or one file; on Kaggle the only input there is
    may be left out, and the output folder too. The output is NAME_embeddings.jsonl,
    NAME_embedding_summary.json and NAME_embedding_manifest.json. Each unique text is encoded once, on every
    GPU. An interrupted run resumes with the same command; once all is done, that does nothing.

    \b
    Examples:
      qembed embed chunks/ -o out/ --model minilm
      qembed embed chunks/ -o out/ --model minilm --limit 10     a sample
      qembed embed chunks/ -o out/ --model minilm --dry-run
      qembed embed chunks/ -o out/ --time-limit 11h              resume tomorrow
      qembed embed chunks/ -o out/ --cache ~/vectors             only what is new
      qembed embed scifact/ -o out/ --model BAAI/bge-m3 --device cuda
    """
    from qembed import kaggle
    from qembed.commands.embed.embed import embed
    from qembed.terminal.output import print_json
    from qembed.terminal.progress import make_progress

    found = kaggle.defaults(input, output)
    input, output = found.input, found.output
    choices["time_limit"] = kaggle.time_limit(choices["time_limit"])
    progress = make_progress(quiet=quiet, every_seconds=choices["log_every"], log_json=choices["log_json"])
    for note in found.notes:
        progress.note(note)
    try:
        result = embed(input, output, _options(model, choices), progress=progress)
    except QembedError as error:
        if model is None and error.remedy and "minilm" in error.remedy:
            working = shell_line("qembed", "embed", input, "-o", output, "--model", "minilm")
            error.remedy += f"\n       for example: {working}"
        raise
    if zipped and result.status != "planned":
        archive = kaggle.zip_output(result.files.existing(), result.files.embeddings.with_suffix(".zip"))
        progress.note(f"{archive} ({archive.stat().st_size / 1e6:,.1f} MB)")
    if as_json:
        files = {name: str(getattr(result.files, name)) for name in ("embeddings", "summary", "manifest")}
        print_json({"status": result.status, "files": files, "summary": result.summary})
    else:
        show(result)
    if result.failed:
        first = result.failed[0]
        raise CheckFailed(
            f"{len(result.failed):,} of {result.summary['total_chunks']:,} chunks have no vector",
            where=f"{first['id']}: {first['kind']}: {first['reason']}",
            remedy='the summary lists them under "failed"; the other chunks are written',
        )


def _options(model: str | None, choices: dict[str, Any]) -> EmbedOptions:
    from qembed.commands.embed.embed import EmbedOptions
    from qembed.corpus import CorpusOptions
    from qembed.models import DEFAULT_MODEL, EncoderOptions

    encoder = (
        "device",
        "precision",
        "max_length",
        "truncate_dim",
        "normalize",
        "pooling",
        "query_prompt",
        "document_prompt",
        "trust_remote_code",
        "revision",
        "code_revision",
        "shard",
    )
    same = (
        "token_budget",
        "max_batch",
        "format",
        "shard_records",
        "cache",
        "empty_cache_every",
        "strict",
        "force",
        "dry_run",
    )
    buffer = choices["memory_buffer"]
    return EmbedOptions(
        model=model or DEFAULT_MODEL,
        corpus=CorpusOptions(
            collection=choices["collection"],
            limit=choices["limit"],
            id_from=cast("IdFrom", choices["id_from"]),
            text_column=choices["text_column"],
        ),
        encoder=EncoderOptions(**{key: choices[key] for key in encoder}),
        memory_buffer_bytes=None if buffer is None else int(buffer * 1e9),
        time_limit_seconds=choices["time_limit"],
        stall_seconds=choices["stall_timeout"],
        **{key: choices[key] for key in same},
    )


def show(result: EmbedResult) -> None:
    """Print what was done, for people."""
    from qembed.terminal.output import console, quantity, share

    out, summary = console(), result.summary
    if result.status == "unchanged":
        out.print(
            f"Nothing to do: {result.files.embeddings} was made from these chunks with these settings.",
            markup=False,
        )
        _show_next(result)
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
            f"{share(summary['truncated_chunks'], chunks)} of the chunks are truncated, "
            f"{share(summary['tokens_lost'], summary['total_tokens'])} of the tokens are lost"
        )
    if summary["skipped"]:
        first = _finding(summary["skipped"][0])
        out.print(f"{quantity(len(summary['skipped']))} findings, the first: {first}", markup=False)
    if result.status == "planned":
        out.print(
            f"Would run {quantity(summary['batches'])} batches of at most "
            f"{quantity(summary['token_budget'])} padded tokens in {summary['model']['dtype']} on "
            f"{summary['workers']} worker{'s' * (summary['workers'] != 1)} "
            f"({summary['padding_waste']:.1%} padding); "
            "nothing was written."
        )
        return
    _show_work(summary)
    out.print(f"Wrote {result.files.embeddings}", markup=False, soft_wrap=True)
    _show_next(result)


def _show_next(result: EmbedResult) -> None:
    """Command lines that can be pasted; they must stay whole."""
    from qembed.terminal.output import console

    made, collection = result.files.embeddings, result.summary["collection"]
    upload = ("--url", "http://localhost:6333", "--collection", collection)
    out = console()
    for line in (
        f"next: {shell_line('qembed', 'audit', made)}",
        f"into Qdrant (docs/kaggle-to-qdrant.md): {shell_line('qembed', 'upload', made, *upload)}",
    ):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_work(summary: dict[str, Any]) -> None:
    from qembed.terminal.output import console, duration, quantity

    out = console()
    for count, what in (
        ("texts_resumed", "texts were finished by an earlier, interrupted run"),
        ("texts_from_cache", "texts came from the cache"),
        ("texts_retried_in_fp32", "vectors were not finite and were made again in fp32"),
    ):
        if summary[count]:
            out.print(f"{quantity(summary[count])} {what}")
    if summary["oom_splits"]:
        out.print(f"{quantity(len(summary['oom_splits']))} batches did not fit the memory and were halved")
    names = Counter(device["name"] for device in summary["devices"])
    devices = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in names.items())
    out.print(
        f"{summary['vector_dimension']} dimensions, {summary['model']['dtype']}, on {devices}: "
        f"{summary['texts_per_sec']:.1f} texts/s, {quantity(summary['tokens_per_sec'])} tokens/s",
        markup=False,
    )
    out.print(f"{duration(summary['processing_time_minutes'] * 60)} in all, loading the model included")


def _table(summary: dict[str, Any]) -> Table:
    from rich.markup import escape

    from qembed.terminal.output import quantity, table

    rows = table("subdirectory", ">chunks", ">unique", ">tokens", ">truncated", ">lost")
    keys = ("chunks", "unique_texts", "tokens", "truncated_chunks", "tokens_lost")
    for name, stats in summary["subdirectories"].items():
        rows.add_row(escape(name), *(quantity(stats[key]) for key in keys))
    return rows


def _finding(finding: dict[str, Any]) -> str:
    place = f", line {finding['line']}" if "line" in finding else ""
    place = place or (f", item {finding['item']}" if "item" in finding else "")
    return f"{finding['file']}{place}: {finding['kind']}: {finding['reason']}"
