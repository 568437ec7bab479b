"""``qembed verify``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qembed.cli.options import EMBEDDINGS, JSON

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.api.verify import VerifyReport
    from qembed.models import Precision

SCHEMA = "qembed.verify/1"


@click.command(short_help="Embed a sample again and compare.")
@EMBEDDINGS
@click.option(
    "--sample", type=click.IntRange(min=1), default=200, show_default=True, help="Different texts, at most."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Picks the sample.")
@click.option(
    "-k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours that are compared."
)
@click.option(
    "--min-cosine",
    type=click.FloatRange(-1, 1),
    metavar="C",
    help="Least cosine of a sampled vector.  [default: by recorded precision: fp32 .99999, "
    "fp16 .9999, bf16 .999, int8 .99, nf4 .9]",
)
@click.option("-m", "--model", help="The model that made the vectors, where no manifest says so.")
@click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub.")
@click.option(
    "--reference",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of the reference, for models that fit no device in fp32.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Allow code that the model brings (it is named first)."
)
@click.option("--code-revision", metavar="COMMIT", help="Commit of another repository with that code.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@JSON
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
    as_json: bool,
    **choices: Any,
) -> None:
    """Embed a random sample of the texts again, one by one in fp32, and compare.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; any shard means all) or the folder it lies in. The
    model, prompt, lengths, dimension and normalisation are those of the manifest. Measured are the cosine of
    the stored with the new vector, and whether both find the same neighbours.

    Exit code 0: every sampled vector is close enough and all vectors are finite; 3: not so; 5: the model's
    files are not those that made the vectors.

    \b
    Examples:
      qembed verify out/
      qembed verify out/ --sample 1000 --seed 7
      qembed verify vectors.jsonl --model minilm --min-cosine 0.999
      qembed verify out/ --json | jq .drift
    """
    from rich.text import Text

    from qembed.api.verify import verify
    from qembed.cli.output import console, print_json
    from qembed.cli.progress import make_progress
    from qembed.models import EncoderOptions

    report = verify(
        embeddings,
        sample=sample,
        seed=seed,
        k=k,
        min_cosine=min_cosine,
        model=model,
        options=EncoderOptions(precision=cast("Precision", reference), **choices),
        progress=make_progress(quiet=quiet),
    )
    if as_json:
        print_json(as_document(report))
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
    document["seconds"] = round(report.seconds, 3)
    return {"schema": SCHEMA, "holds": report.holds, **document}


def render(report: VerifyReport) -> Iterator[RenderableType]:
    """The report for people, part by part."""
    from rich.text import Text

    yield Text(str(report.file), style="bold")
    yield _grid(_facts(report), indent=2)
    yield Text()
    yield _grid(_measured(report), indent=0)
    yield Text()
    yield Text("worst of the sample", style="bold")
    yield _grid(_worst(report), indent=2)
    yield Text()
    yield from _verdict(report)


def _facts(report: VerifyReport) -> list[tuple[Any, ...]]:
    from qembed.cli.output import duration, quantity

    info = report.reference
    dtype = report.dtype or "precision not recorded"
    return [
        ("vectors", f"{quantity(report.records)} of {report.dimension:,} dimensions, {info.id}, {dtype}"),
        ("reference", f"{info.dtype}, one text at a time, on {info.device_name}"),
        (
            "sample",
            f"{quantity(report.sample)} different texts, seed {report.seed}, in {duration(report.seconds)}",
        ),
    ]


def _measured(report: VerifyReport) -> list[tuple[Any, ...]]:
    from qembed.cli.output import quantity

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
        yield Text.assemble(("holds", "bold green"), f": every cosine is at least {wanted}")
        yield Text(f"({report.why_min_cosine})", style="dim")
        return
    yield Text.assemble(("does not hold", "bold red"), ":")
    for problem in report.problems:
        yield Text(f"- {problem}")
    yield Text(f"({wanted}: {report.why_min_cosine})", style="dim")
    yield Text(f"next: qembed audit {shlex.quote(str(report.file))}")


def _cosine(cosine: float) -> str:
    """Six digits, cut and not rounded: what is not 1 never reads as 1."""
    return f"{int(cosine * 1e6) / 1e6:.6f}"


def _grid(rows: list[tuple[Any, ...]], *, indent: int) -> RenderableType:
    """Columns without lines; nothing in them is read as markup."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for number in range(len(rows[0]) - 1):
        grid.add_column(no_wrap=True, justify="right" if number else "left")
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return Padding(grid, (0, 0, 0, indent), expand=False)
