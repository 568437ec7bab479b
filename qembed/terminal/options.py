"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import click

Function = TypeVar("Function", bound=Callable[..., Any])
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int16", "int8", "nf4")
"""``qembed.models.PRECISIONS``, without importing torch."""

Form: TypeAlias = Literal["json", "csv", "md"]
"""How results are printed, where not for people."""

EMBEDDINGS = click.argument("embeddings", type=click.Path(path_type=Path))
INPUT = click.argument("input", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
SPLIT = click.option("--split", help="Which qrels of the eval set.  [default: its card's, else test]")
MARGIN = click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Differences below it do not matter.",
)
SEED = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is random."
)
RESAMPLES = click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Of bootstrap and randomisation test.",
)
QUERY_MODEL = click.option(
    "-m", "--model", help="Encodes the queries, where no manifest says which made the vectors."
)
QUERY_VECTORS = click.option(
    "--query-vectors", type=click.Path(path_type=Path), help="File of embeddings whose ids are query ids."
)
MAX_LENGTH = click.option(
    "--max-length", type=click.IntRange(min=4), metavar="N", help="Tokens read of each text."
)
TRUNCATE_DIM = click.option(
    "--truncate-dim", type=click.IntRange(min=1), metavar="N", help="Keep the first N dimensions."
)
TOKEN_BUDGET = click.option(
    "--token-budget", type=click.IntRange(min=1), metavar="N", help="Padded tokens of a batch."
)


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``45m``, ``11h`` or ``1h30m``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; more than 0."""
        if isinstance(value, (int, float)):
            return float(value)
        found = _DURATION.fullmatch(str(value).strip().lower())
        parts = [float(part) if part else 0.0 for part in found.groups()] if found else [0.0]
        seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
        if seconds <= 0:
            self.fail(f"{value!r} is no duration; give one like 11h, 90m or 1h30m", param, ctx)
        return seconds


DURATION = Duration()
_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?")


def output_options(function: Function) -> Function:
    """``--json``, ``--csv`` and ``--md``, of which one at most: ``form``, None for people."""

    @wraps(function)
    def with_form(*args: Any, as_json: bool, as_csv: bool, as_md: bool, **kwargs: Any) -> Any:
        forms: dict[Form, bool] = {"json": as_json, "csv": as_csv, "md": as_md}
        chosen = [form for form, wanted in forms.items() if wanted]
        if len(chosen) > 1:
            raise click.UsageError(f"{' and '.join(f'--{form}' for form in chosen)}: give one of them")
        return function(*args, form=chosen[0] if chosen else None, **kwargs)

    return _all(
        cast("Function", with_form),
        JSON,
        click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV, numbers unrounded."),
        click.option("--md", "as_md", is_flag=True, help="Print the rows as a table in Markdown."),
    )


def corpus_options(function: Function) -> Function:
    """How chunks are read."""
    return _all(
        function,
        click.option(
            "--collection", metavar="NAME", help="First part of every id.  [default: the input's name]"
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="Chunks per subdirectory at most."
        ),
        click.option(
            "--id-from",
            type=click.Choice(["filename", "path"]),
            default="filename",
            show_default=True,
            help="Build ids from the page's name, or from its whole path.",
        ),
    )


def model_options(function: Function) -> Function:
    """How a model is loaded and used."""
    return _all(
        function,
        click.option(
            "--device",
            default="auto",
            show_default=True,
            help="auto (all GPUs, else the CPU), cpu, cpu*2 (two workers), cuda, cuda:0,cuda:1 or mps.",
        ),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="Of weights and arithmetic; auto: bf16 or fp16 on a GPU; on a CPU the fastest of "
            "bf16, int16 and fp32.",
        ),
        click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub."),
        click.option(
            "--trust-remote-code", is_flag=True, help="Allow code that the model brings (it is named first)."
        ),
        click.option(
            "--code-revision", metavar="COMMIT", help="Commit of another repository with that code."
        ),
    )


def _all(function: Function, *decorators: Callable[[Function], Function]) -> Function:
    for decorate in reversed(decorators):
        function = decorate(function)
    return function
