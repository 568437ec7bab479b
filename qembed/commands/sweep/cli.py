"""``qembed sweep``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.terminal.options import (
    MARGIN,
    QUERY_MODEL,
    QUERY_VECTORS,
    RESAMPLES,
    SEED,
    SOURCE,
    SPLIT,
    AdvancedCommand,
    Form,
    key_options,
    model_options,
    output_options,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.sweep.sweep import SweepResult, Variant
    from qembed.terminal.output import Column

_SYNTHETIC = "SYNTHETIC: a program made these queries and nobody judged them."
_QUANTIZED = ("fp16", "int8", "binary", "binary-asym")


class Listed(click.ParamType[tuple[Any, ...]]):
    """Items with commas between them, or ``none``; whole numbers where no names are given."""

    name = "list"

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self._names = names

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """The items in the order given, each once."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if parts == ["none"]:
            return ()
        if self._names:
            wrong = [part for part in parts if part not in self._names]
            if wrong:
                self.fail(
                    f"{wrong[0]!r} is none of {', '.join(self._names)}; none leaves all out", param, ctx
                )
            return tuple(dict.fromkeys(parts))
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} are no dimensions; give some like 256,128,64, or none", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


@click.command(cls=AdvancedCommand, short_help="Measure what shorter or quantised vectors cost in quality.")
@SOURCE
@click.option(
    "-e",
    "--eval-set",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with queries and judgements (BEIR layout), or a bundled one.",
)
@SPLIT
@click.option(
    "--dims",
    type=Listed(),
    metavar="N,N,...",
    help="Numbers of dimensions to keep, or none for only the full ones.  [default: those the model was "
    "trained for, else up to four of 2048,1024,512,256,128,64]",
)
@click.option(
    "--quantize",
    "kinds",
    type=Listed(_QUANTIZED),
    default="fp16,int8,binary",
    show_default=True,
    metavar="KIND,...",
    help="Number formats: fp16, int8, binary (signs of texts and query), binary-asym (signs of texts, full "
    "query), or none.",
)
@click.option(
    "--oversample",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    metavar="N",
    help="Also try int8 and binary with the first N times 10 results (10: the measure's cutoff) rescored by "
    "the full vectors, as Qdrant does; 0 leaves that out.",
)
@click.option("--combine", is_flag=True, help="Try every number format in every dimension.")
@click.option(
    "--measure", default="nDCG@10", show_default=True, help="Measure that decides, e.g. recall@100 or MRR@10."
)
@MARGIN
@SEED
@RESAMPLES
@QUERY_MODEL
@QUERY_VECTORS
@key_options
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@output_options
def command(embeddings: Path | str, eval_set: Path, quiet: bool, form: Form | None, **choices: Any) -> None:
    """Compare shorter and quantised forms of stored vectors with the full ones, on judged queries.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; any shard means all), the folder it is in, an export of
    Qdrant, or a collection on a server (qdrant://HOST/COLLECTION). No text is embedded again: the vectors are
    truncated or rounded in memory and searched exactly, so only the form differs. The verdict for each form
    is better, worse, equivalent within the margin, or cannot tell.

    \b
    Examples:
      qembed sweep out/ -e eval_sets/python_api
      qembed sweep out/ -e my_set/ --dims 256,128 --quantize int8,binary
      qembed sweep out/ -e my_set/ --combine --measure recall@100
      qembed sweep out/ -e my_set/ --oversample 10 --json
      qembed sweep qdrant://localhost/docs -e my_set/ -m minilm
    """
    from rich.text import Text

    from qembed.commands.sweep.sweep import SweepOptions, as_document, sweep
    from qembed.models import EncoderOptions
    from qembed.store import Keys
    from qembed.terminal.output import aside, console, print_json, print_rows
    from qembed.terminal.progress import make_progress

    names = ("device", "precision", "revision", "trust_remote_code", "code_revision")
    encoder = EncoderOptions(**{name: choices.pop(name) for name in names})
    keys = Keys(text=choices.pop("text_key"), id=choices.pop("id_key"))
    options = SweepOptions(**choices, encoder=encoder, keys=keys)
    result = sweep(embeddings, eval_set, options, progress=make_progress(quiet=quiet))
    if form == "json":
        print_json(as_document(result))
        return
    if form:
        print_rows(columns(result), result.variants, form)
        aside(*([_SYNTHETIC] if result.judged.eval_set.card.synthetic else []))
        aside(*(f"{words}." for words in [result.judged.by_models] if words))
        aside(*(f"note: {note}" for note in result.notes))
        return
    out = console()
    for part in render(result):
        out.print(part, soft_wrap=isinstance(part, Text) and part.no_wrap is True)


def columns(result: SweepResult) -> list[Column[Variant]]:
    """What CSV and Markdown say of a form."""
    from qembed.terminal.output import Column, quantity
    from qembed.terminal.quality import comparison_columns, estimate_columns

    measure = str(result.measure)
    return [
        Column("form", lambda one: one.form.name),
        Column("dimension", lambda one: one.form.dimension, quantity, detail=True),
        Column("kind", lambda one: one.form.kind, detail=True),
        Column("oversample", lambda one: one.form.rescore, quantity, detail=True),
        Column("vector_bytes", lambda one: one.form.bytes, quantity),
        Column("rescoring_bytes", lambda one: one.form.rescoring_bytes, quantity),
        Column("compression", lambda one: one.compression, "{:.3g}x".format),
        *estimate_columns(measure, lambda one: one.estimate),
        Column(f"same_top_{result.k}", lambda one: one.overlap, lambda part: f"{int(100 * part)}%"),
        *comparison_columns(measure, lambda one: one.comparison),
    ]


def render(result: SweepResult) -> Iterator[RenderableType]:
    """The result for people, part by part."""
    from rich.text import Text

    yield from _basis(result)
    yield Text()
    yield _quality(result)
    if len(result.variants) > 1:
        yield Text(f"compared with the full vectors, {result.measure}", style="bold")
        yield _verdicts(result)
    if any(one.form.rescore for one in result.variants):
        pool = result.k * result.options.oversample
        yield Text(
            f"+rescore: the first {pool} results ordered by the float32 vectors, which may be on a disk"
        )
    for note in result.notes:
        yield Text(f"note: {note}", style="yellow")
    if result.variants[1:]:
        yield _advice(result)


def _basis(result: SweepResult) -> Iterator[RenderableType]:
    from rich.text import Text

    from qembed.models.info import model_words
    from qembed.terminal.output import quantity

    judged, side = result.judged, result.judged.side
    card, collection = judged.eval_set.card, side.collection
    yield Text(str(side.path), style="bold", no_wrap=True)
    made = side.manifest.model if side.manifest else None
    model = model_words(made) if made else "no manifest"
    yield Text(
        f"{quantity(len(collection))} different texts, {collection.dimension:,} dimensions, {model}; "
        "every search is exact"
    )
    yield Text(
        f"{card.name}: {quantity(judged.answerable)} of {quantity(len(judged.queries))} queries have an "
        f"answer; {card.level}s are judged"
    )
    if card.synthetic:
        yield Text(_SYNTHETIC, style="bold yellow")
    elif judged.by_models:
        yield Text(f"{judged.by_models}.", style="bold yellow")
    if judged.errors:
        more = f" and {len(judged.errors) - 1:,} more" if len(judged.errors) > 1 else ""
        yield Text(f"note: {judged.errors[0]}{more} (qembed evalset check)", style="yellow")


def _quality(result: SweepResult) -> RenderableType:
    from qembed.terminal.output import table

    made = table(
        "form",
        ">bytes per\nvector",
        ">smaller",
        f">{str(result.measure).replace('@', chr(10) + '@')}",
        ">95 %\ninterval",
        f">same\ntop {result.k}",
    )
    for one in result.variants:
        form, estimate = one.form, one.estimate
        made.add_row(
            form.name,
            f"{form.bytes:,}" + (f"+{form.rescoring_bytes:,}" if form.rescore else ""),
            f"{one.compression:.3g}x",
            f"{estimate.mean:.3f}",
            "-" if estimate.low != estimate.low else f"{estimate.low:.3f}-{estimate.high:.3f}",
            f"{int(100 * one.overlap)}%",  # what is not all never reads as 100 %
        )
    return made


def _verdicts(result: SweepResult) -> RenderableType:
    from rich.text import Text

    from qembed.evaluation.statistics.verdict import brief
    from qembed.terminal.output import table
    from qembed.terminal.quality import VERDICT_STYLES

    made = table("form", ">differs", ">95 % interval", ">p", "verdict")
    for one in result.variants:
        found = one.comparison
        if found is None:
            continue
        interval = "-" if found.low != found.low else f"{_signed(found.low)} {_signed(found.high)}"
        p = "<.001" if found.p_adjusted < 0.001 else f"{found.p_adjusted:.3f}".removeprefix("0")
        made.add_row(
            one.form.name,
            _signed(found.difference),
            interval,
            p,
            Text(brief(found), style=VERDICT_STYLES[found.verdict]),
        )
    return made


def _advice(result: SweepResult) -> RenderableType:
    from rich.text import Text

    best = result.smallest_equivalent
    if best is None:
        return Text("These queries do not show that any smaller form ranks as well as the full vectors.")
    return Text.assemble(
        "The smallest form that ranks as well: ",
        (best.form.name, "bold"),
        f", {best.form.bytes:,} bytes per vector{_on_disk(best)}, {best.compression:.3g}x smaller.",
    )


def _on_disk(one: Variant) -> str:
    return f" and {one.form.rescoring_bytes:,} to rescore" if one.form.rescore else ""


def _signed(value: float) -> str:
    return "-" if value != value else f"{value:+.3f}".replace("-0.000", "+0.000")
