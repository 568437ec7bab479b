"""``qembed verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qembed.commands.verify.view import measured_values, render_ranking
from qembed.shell import shell_line
from qembed.terminal.options import (
    EMBEDDINGS,
    PRECISIONS,
    SPLIT,
    AdvancedCommand,
    Form,
    advanced,
    output_options,
)
from qembed.terminal.output import grid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.verify.verify import VerifyReport
    from qembed.models import Precision

SCHEMA = "qembed.verify/1"


@click.command(cls=AdvancedCommand, short_help="Embed a sample again and compare.")
@EMBEDDINGS
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Most distinct texts to embed again.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the sample.",
)
@click.option(
    "-k",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of neighbours to compare.",
)
@click.option(
    "--min-cosine",
    type=click.FloatRange(-1, 1),
    metavar="C",
    help="Least cosine of a sampled vector.  [default: by the precision in the manifest: fp32 and int16 "
    ".99999, fp16 .9999, bf16 .999, int8 .99, nf4 .9]",
)
@click.option(
    "-e",
    "--eval-set",
    type=click.Path(path_type=Path),
    help="Eval set: also compare the rankings of its queries.",
)
@SPLIT
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Texts per query to embed again; 20 is faster and sees less.",
)
@click.option(
    "--measure",
    default="nDCG@10",
    show_default=True,
    help="Measure of the ranking, e.g. MRR@10 or recall@20.",
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Smallest difference that matters.",
)
@click.option(
    "--query-precision",
    type=click.Choice(PRECISIONS),
    help="Precision of the queries that search the stored vectors.  [default: that of the vectors]",
)
@click.option("-m", "--model", help="Model that made the vectors.  [default: from the manifest]")
@click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub.")
@click.option(
    "--reference",
    type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of the reference; auto: the widest that fits the device.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the model; it is named first."
)
@advanced(
    "--code-revision",
    metavar="COMMIT",
    help="Commit of that code, where it lives in another repository than the model.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    embeddings: Path,
    sample: int,
    seed: int,
    k: int,
    min_cosine: float | None,
    model: str | None,
    reference: str,
    quiet: bool,
    form: Form | None,
    eval_set: Path | None,
    split: str | None,
    candidates: int,
    measure: str,
    margin: float,
    query_precision: str | None,
    **choices: Any,
) -> None:
    """Embed a random sample of the texts again, one by one in fp32, and compare.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; any shard means all) or the folder it is in. The model,
    prompt, lengths, dimension and normalisation come from the manifest. The result is the cosine between each
    stored and new vector, and whether both find the same neighbours. With an eval set, the candidates of
    every judged query are embedded again too, and the two rankings are compared.

    Exit code 0: every sampled vector is close enough, all vectors are finite, and the ranking is not shown to
    be worse; 3: one of these fails; 5: the model's files are not those that made the vectors.

    \b
    Examples:
      qembed verify out/
      qembed verify out/ --sample 1000 --seed 7
      qembed verify out/ --eval-set eval_sets/python_api
      qembed verify vectors.jsonl --model minilm --min-cosine 0.999
      qembed verify out/ --json | jq .drift
    """
    from rich.text import Text

    from qembed.commands.verify.ranking import RankingOptions
    from qembed.commands.verify.verify import verify
    from qembed.models import EncoderOptions
    from qembed.terminal.output import console, print_json, print_values
    from qembed.terminal.progress import make_progress

    ranking = None
    if eval_set is None:
        _need_an_eval_set(ctx)
    else:
        precision = cast("Precision | None", query_precision)
        ranking = RankingOptions(
            eval_set, split, candidates, measure, margin, seed=seed, query_precision=precision
        )
    report = verify(
        embeddings,
        sample=sample,
        seed=seed,
        k=k,
        min_cosine=min_cosine,
        model=model,
        options=EncoderOptions(precision=cast("Precision", reference), **choices),
        ranking=ranking,
        progress=make_progress(quiet=quiet),
    )
    if form == "json":
        print_json(as_document(report))
    elif form:
        print_values(measured_values(report), form)
    else:
        out = console()
        for part in render(report):
            out.print(part, soft_wrap=isinstance(part, Text))  # paths and commands stay whole, to be copied
    if not report.holds:
        ctx.exit(3)


def as_document(report: VerifyReport) -> dict[str, Any]:
    """The report as one JSON document; docs/verify.md lists its keys."""
    document = asdict(report)
    document["file"] = str(report.file)
    if report.ranking is not None:
        document["ranking"]["folder"] = str(report.ranking.folder)
    document["seconds"] = round(report.seconds, 3)
    return {"schema": SCHEMA, "holds": report.holds, **document}


def render(report: VerifyReport) -> Iterator[RenderableType]:
    """The report for people, part by part."""
    from rich.text import Text

    yield Text(str(report.file), style="bold")
    yield grid(_facts(report), indent=2)
    yield Text()
    yield grid(_measured(report), indent=0)
    yield Text()
    yield Text("worst of the sample", style="bold")
    yield grid(_worst(report), indent=2)
    yield Text()
    if report.ranking is not None:
        yield from render_ranking(report.ranking)
        yield Text()
    yield from _verdict(report)


def _facts(report: VerifyReport) -> list[tuple[Any, ...]]:
    from qembed.models.resolve import label_of
    from qembed.terminal.output import duration, quantity

    info = report.reference
    dtype = report.dtype or "precision not recorded"
    note = f" ({info.weights_note})" if info.weights_note else ""
    return [
        (
            "vectors",
            f"{quantity(report.records)} of {report.dimension:,} dimensions, {label_of(info.id)}, "
            f"{dtype}{note}",
        ),
        (
            "reference",
            f"{info.dtype}, one text at a time, on {info.device_name}; {duration(report.seconds)} in all",
        ),
        ("sample", f"{quantity(report.sample)} different texts, seed {report.seed}"),
    ]


def _measured(report: VerifyReport) -> list[tuple[Any, ...]]:
    from qembed.terminal.output import quantity

    drift, overlap = report.drift, report.overlap
    rows: list[tuple[Any, ...]] = [
        (
            "cosine",
            f"mean {_cosine(drift.mean)}, 1st percentile {_cosine(drift.percentile_1)}, "
            f"worst {_cosine(drift.min)}",
        ),
        (
            "equal bits",
            f"{quantity(drift.identical)} of {quantity(report.sample)} vectors; "
            f"numbers differ by {drift.max_difference:.2g} at most",
        ),
    ]
    if overlap is None:
        rows.append(("neighbours", "not ranked: no two vectors differ"))
    else:
        among = "of the file" if overlap.among == "file" else "of the sample (the file's exceed 1 GB)"
        rows.append(
            (
                f"top {overlap.k}",
                f"{overlap.mean:.1%} of the neighbours are the same, among {quantity(overlap.vectors)} "
                f"different vectors {among}; all of them for "
                f"{quantity(report.sample - overlap.changed)} of {quantity(report.sample)} texts, "
                f"{overlap.min:.0%} for the worst",
            )
        )
    odd = [(report.non_finite, "with NaN or Inf"), (report.zero, "zero")]
    said = ", ".join(f"{quantity(count)} {what}" for count, what in odd if count) or "all"
    rows.append(("finite", f"{said} of {quantity(report.records)}"))
    if report.without_text:
        rows.append(("without text", f"{quantity(report.without_text)}, which cannot be verified"))
    return rows


def _worst(report: VerifyReport) -> list[tuple[Any, ...]]:
    from rich.text import Text

    heads = ("cosine", "same", "tokens", "chunk")
    rows: list[tuple[Any, ...]] = [tuple(Text(head, style="dim") for head in heads)]
    for chunk in report.worst:
        style = "red" if chunk.cosine < report.min_cosine else ""
        same = "-" if chunk.overlap is None else f"{chunk.overlap:.0%}"
        rows.append((Text(_cosine(chunk.cosine), style=style), same, f"{chunk.tokens:,}", chunk.id))
    return rows


def _verdict(report: VerifyReport) -> Iterator[Any]:
    from rich.text import Text

    wanted = f"{report.min_cosine:g}"
    if report.holds:
        ranking = "" if report.ranking is None else "; the ranking is not shown to be worse"
        yield Text.assemble(("holds", "bold green"), f": every cosine is at least {wanted}{ranking}")
        yield Text(f"({report.why_min_cosine})", style="dim")
        return
    yield Text.assemble(("does not hold", "bold red"), ":")
    for problem in report.problems:
        yield Text(f"- {problem}")
    yield Text(f"({wanted}: {report.why_min_cosine})", style="dim")
    if report.drift.min < report.min_cosine or report.non_finite or report.zero:
        yield Text(f"next: {shell_line('qembed', 'audit', report.file)}")
    else:
        yield Text("next: embed the chunks again in a higher precision, qembed embed --precision")


def _need_an_eval_set(ctx: click.Context) -> None:
    for name in ("split", "candidates", "measure", "margin", "query_precision"):
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} needs judged queries: add --eval-set FOLDER")


def _cosine(cosine: float) -> str:
    """Six digits, cut and not rounded: what is not 1 never reads as 1."""
    return f"{int(cosine * 1e6) / 1e6:.6f}"
