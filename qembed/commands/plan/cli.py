"""``qembed plan``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from qembed.shell import shell_line
from qembed.terminal.options import (
    INPUT,
    MAX_BATCH,
    MAX_LENGTH,
    MEMORY_BUFFER,
    PRECISIONS,
    TOKEN_BUDGET,
    TRUNCATE_DIM,
    AdvancedCommand,
    Form,
    advanced,
    corpus_options,
    output_options,
)

if TYPE_CHECKING:
    from qembed.commands.plan.plan import Plan, PlanOptions
    from qembed.corpus import IdFrom


@click.command(cls=AdvancedCommand, short_help="Memory, batches, time and disk of a run.")
@INPUT
@click.option("-m", "--model", help="Folder, hub id or short name.  [default: nomic-ai/nomic-embed-code]")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Preset (t4, p100, l4, l40s, a100, a100-80gb, h100, h200, rtx-4090), several as in t4x2; cpu; or "
    "auto: what is here.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Precision to work out; auto compares all.",
)
@click.option("--shard", is_flag=True, help="Spread the model over all cards: one worker.")
@corpus_options
@click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub.")
@MAX_LENGTH
@TRUNCATE_DIM
@TOKEN_BUDGET
@MAX_BATCH
@MEMORY_BUFFER
@advanced(
    "--model-gb",
    type=click.FloatRange(min=0),
    metavar="GB",
    help="Memory of the loaded model, for the rule of thumb; needs --chunk-gb.",
)
@advanced(
    "--chunk-gb",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory per chunk of a batch, for the rule of thumb.",
)
@output_options
@click.pass_context
def command(
    ctx: click.Context, /, input: Path, model: str | None, device: str, form: Form | None, **choices: Any
) -> None:
    """Predict memory, batches, time and disk of embedding the chunks below INPUT.

    Neither the GPU nor the weights are needed. First comes the command to run, then every precision on that
    device, then each term: memory of a card, batches and padding on these chunks, time, disk, Kaggle's
    limits. Where the model's tokenizer is not here, tokens are estimated, and the output says so. Exit code 3
    when no precision fits.

    \b
    Examples:
      qembed plan chunks/ --model nomic-embed-code --device t4x2
      qembed plan chunks/ --model minilm --device cpu
      qembed plan chunks/ --device t4 --model-gb 6.8 --chunk-gb 0.15
      qembed plan chunks/ --device l4 --json | jq .chosen.precision
    """
    from qembed.commands.plan.plan import PlanOptions, plan
    from qembed.commands.plan.view import columns, show
    from qembed.corpus import CorpusOptions
    from qembed.models import DEFAULT_MODEL
    from qembed.terminal.output import print_json, print_rows
    from qembed.terminal.progress import make_progress

    corpus = CorpusOptions(
        choices["collection"], choices["limit"], cast("IdFrom", choices["id_from"]), choices["text_column"]
    )
    options = PlanOptions(
        corpus=corpus,
        buffer_bytes=_bytes(choices["memory_buffer"]),
        model_bytes=_bytes(choices["model_gb"]),
        chunk_bytes=_bytes(choices["chunk_gb"]),
        **{key: choices[key] for key in ("precision", "shard", "max_batch", "token_budget", "max_length")},
        **{key: choices[key] for key in ("truncate_dim", "revision")},
    )
    name = model or DEFAULT_MODEL
    planned = plan(input, model=name, device=device, options=options, progress=make_progress())
    line = command_line(planned, input, name, options)
    if form == "json":
        print_json({**asdict(planned), "command": shell_line(*line)})
    elif form:
        print_rows(columns(planned), planned.candidates, form)
    else:
        show(planned, line)
    if planned.chosen is None:
        ctx.exit(3)


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


def command_line(planned: Plan, input: Path, model: str, options: PlanOptions) -> list[str]:
    """The command that does what was planned; empty where nothing fits."""
    from qembed.engine.planning.choice import options_of

    chosen = planned.chosen
    if chosen is None:
        return []
    line = ["qembed", "embed", str(input), "-o", "out/", "--model", model]
    # int16 suits few models, which shows when they are loaded; auto takes it where it does.
    by_itself = options.precision == "auto" and chosen.precision == "int16"
    line += options_of(chosen)[2 if by_itself else 0 :]
    if planned.device.capability is None:
        line += ["--device", "cpu"]  # a large model runs on a CPU only where that is said
    if options.buffer_bytes is not None and chosen.fit == "fits":
        line += ["--memory-buffer", f"{options.buffer_bytes / 1e9:g}"]
    line += ["--token-budget", str(chosen.budget_tokens)]
    if chosen.max_batch:
        line += ["--max-batch", str(chosen.max_batch)]
    given = {name: getattr(options, name) for name in ("max_length", "truncate_dim", "revision")}
    given |= {"collection": options.corpus.collection, "limit": options.corpus.limit}
    given |= {"id_from": options.corpus.id_from if options.corpus.id_from != "filename" else None}
    for name, value in given.items():
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return line
