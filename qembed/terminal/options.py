"""Options that several commands share, and the section "Advanced" at the end of a command's help.

    @click.command(cls=AdvancedCommand)
    @click.option("--limit", help="Chunks per subdirectory.")
    @advanced("--stall-timeout", help="Restart a silent worker.")
    def command(...): ...

A group of commands is ``@click.group(cls=CommandGroup)``; its commands are ``AdvancedCommand`` by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

import click

Function = TypeVar("Function", bound=Callable[..., Any])
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int16", "int8", "nf4")
"""``qembed.models.PRECISIONS``, without importing torch."""

REPORTS = Path("reports")
"""Where comparisons are stored and reports are looked for."""

Form: TypeAlias = Literal["json", "csv", "md"]
"""Output formats for programs; None is a table for people."""


class AdvancedOption(click.Option):
    """An option that almost nobody needs; ``advanced`` makes one."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002
        """None: it is not among the usual options."""
        return None

    def advanced_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line in the last section."""
        return super().get_help_record(ctx)


def advanced(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """``click.option`` for a rare option: an ``AdvancedCommand`` lists it in the last section of its help."""
    return click.option(*names, cls=AdvancedOption, **attributes)


class AdvancedCommand(click.Command):
    """A command whose help ends with a section "Advanced", where it has options made by ``advanced``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usual options, then the rare ones."""
        super().format_options(ctx, formatter)
        rare = [param.advanced_record(ctx) for param in self.params if isinstance(param, AdvancedOption)]
        if rare:
            with formatter.section("Advanced"):
                formatter.write_dl([record for record in rare if record])


class CommandGroup(click.Group):
    """A group of commands that answers a mistyped one with the name that was probably meant."""

    command_class = AdvancedCommand

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named first.

        Raises:
            click.UsageError: There is none of that name.
        """
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = get_close_matches(args[0], self.list_commands(ctx))
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"No such command: {args[0]}.{meant}", ctx)
        return super().resolve_command(ctx, args)


def _separate(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Measures with commas between them, outside of parentheses: ``nDCG@10,RBP(p=0.8,rel=2)``."""
    parts = (part.strip() for value in values for part in re.split(r",(?![^(]*\))", value))
    return tuple(part for part in parts if part)


class Source(click.Path):
    """Embeddings: a path, or ``qdrant://HOST/COLLECTION`` as it was typed (a path would lose a slash)."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A ``Path``, or the address as a string."""
        if str(value).startswith("qdrant"):
            from qembed.index.server.address import is_address

            if is_address(str(value)):
                return str(value)
        return super().convert(value, param, ctx)


EMBEDDINGS = click.argument("embeddings", type=click.Path(path_type=Path))
SOURCE = click.argument("embeddings", type=Source(path_type=Path))
"""As ``EMBEDDINGS``, or a collection on a server."""
INPUT = click.argument("input", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
SPLIT = click.option(
    "--split", help="Name of the qrels file.  [default: from the eval set's card, else test]"
)
MARGIN = click.option(
    "--margin",
    type=click.FloatRange(min=0),
    default=0.01,
    show_default=True,
    help="Smallest difference that matters.",
)
SEED = advanced(
    "--seed", type=click.IntRange(min=0), metavar="N", default=0, show_default=True, help="Random seed."
)
RESAMPLES = advanced(
    "--resamples",
    type=click.IntRange(min=100),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Number of resamples of the randomisation test.",
)
MEASURES = click.option(
    "--measure",
    "measures",
    multiple=True,
    callback=_separate,
    metavar="M,M,...",
    help="Measures, e.g. recall@100, precision@5, MAP, success@3, bpref, RBP(p=0.8), ERR@10. The first one "
    "decides. Repeatable.  [default: nDCG@10,recall@10,recall@100,MRR@10,judged@10]",
)
QUERY_MODEL = click.option(
    "-m", "--model", help="Model that encodes the queries.  [default: the one in the manifest of the vectors]"
)
QUERY_VECTORS = click.option(
    "--query-vectors",
    type=click.Path(path_type=Path),
    help="Embeddings of the queries; their ids are query ids.",
)
MAX_LENGTH = click.option(
    "--max-length",
    type=click.IntRange(min=4),
    metavar="N",
    help="Tokens read per text; the rest is truncated.",
)
TRUNCATE_DIM = click.option(
    "--truncate-dim", type=click.IntRange(min=1), metavar="N", help="Keep only the first N dimensions."
)
TOKEN_BUDGET = click.option(
    "--token-budget", type=click.IntRange(min=1), metavar="N", help="Largest batch, in padded tokens."
)
MAX_BATCH = click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Largest batch, in texts.  [default: no limit; 24 for models of billions of weights on a T4]",
)
MEMORY_BUFFER = click.option(
    "--memory-buffer",
    type=click.FloatRange(min=0),
    metavar="GB",
    help="Memory left free on each device.  [default: 2, or less where the model needs it]",
)


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``45m``, ``11h`` or ``1h30m``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert to seconds.

        Raises:
            click.BadParameter: It is not a duration, or it is 0.
        """
        if isinstance(value, (int, float)):
            return float(value)
        found = _DURATION.fullmatch(str(value).strip().lower())
        parts = [float(part) if part else 0.0 for part in found.groups()] if found else [0.0]
        seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
        if seconds <= 0:
            self.fail(f"{value!r} is not a duration; write it like 11h, 90m or 1h30m", param, ctx)
        return seconds


DURATION = Duration()
_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?")


def output_options(function: Function) -> Function:
    """Add ``--json``, ``--csv`` and ``--md``; the command gets ``form``, which is None for a table."""

    @wraps(function)
    def with_form(*args: Any, as_json: bool, as_csv: bool, as_md: bool, **kwargs: Any) -> Any:
        forms: dict[Form, bool] = {"json": as_json, "csv": as_csv, "md": as_md}
        chosen = [form for form, wanted in forms.items() if wanted]
        if len(chosen) > 1:
            raise click.UsageError(f"{' and '.join(f'--{form}' for form in chosen)}: use only one of them")
        return function(*args, form=chosen[0] if chosen else None, **kwargs)

    return compose(
        cast("Function", with_form),
        JSON,
        click.option(
            "--csv", "as_csv", is_flag=True, help="Print CSV with unrounded numbers instead of a table."
        ),
        click.option("--md", "as_md", is_flag=True, help="Print a Markdown table."),
    )


def store_options(function: Function) -> Function:
    """Add ``--reports``, ``--name`` and ``--no-store``; the command gets ``reports``, None for nothing, and
    ``name``.
    """

    @wraps(function)
    def with_store(*args: Any, reports: Path | None, name: str | None, no_store: bool, **kwargs: Any) -> Any:
        if no_store and (reports or name):
            raise click.UsageError(f"--no-store writes nothing: leave {'--name' if name else '-o'} out")
        return function(*args, reports=None if no_store else reports or REPORTS, name=name, **kwargs)

    return compose(
        cast("Function", with_store),
        click.option(
            "-o",
            "--reports",
            type=click.Path(path_type=Path, file_okay=False),
            help=f"Folder for a new NNNN_NAME with all results.  [default: {REPORTS}]",
        ),
        click.option("--name", help="Name of the new folder.  [default: the eval set's name]"),
        click.option("--no-store", is_flag=True, help="Only print; write nothing."),
    )


def key_options(function: Function) -> Function:
    """Add the options that name the keys of foreign embeddings."""
    return compose(
        function,
        advanced(
            "--text-key",
            metavar="KEY",
            help="Key that holds the text, in a record or its payload; dots go into objects.  "
            "[default: text, content, page_content or document]",
        ),
        advanced(
            "--id-key",
            metavar="KEY",
            help="Key that holds the chunk id, likewise; id for the point's own.  [default: id, or chunk_id "
            "where the id is a point's]",
        ),
    )


def corpus_options(function: Function) -> Function:
    """Add the options that say how chunks are read."""
    return compose(
        function,
        click.option(
            "--collection",
            metavar="NAME",
            help="Collection name, the first part of every chunk id.  [default: the input's name]",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="Most chunks per subdirectory."
        ),
        click.option(
            "--id-from",
            type=click.Choice(["filename", "path", "own", "position"]),
            default="filename",
            show_default=True,
            help="Build ids from the page's name, from its whole path, or from the chunk file and the "
            "position in it; or keep the chunks' own.",
        ),
        advanced(
            "--text-column",
            metavar="NAME",
            help="Key or column that holds the text.  [default: content, text, page_content or the like]",
        ),
    )


def model_options(function: Function) -> Function:
    """Add the options that say how a model is loaded."""
    return compose(
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
            help="Precision of weights and arithmetic. auto takes bf16 or fp16 on a GPU, and the fastest of "
            "bf16, int16 and fp32 on a CPU.",
        ),
        click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub."),
        click.option(
            "--trust-remote-code",
            is_flag=True,
            help="Run Python code that comes with the model; it is named first.",
        ),
        advanced(
            "--code-revision",
            metavar="COMMIT",
            help="Commit of that code, where it lives in another repository than the model.",
        ),
    )


def compose(function: Function, *decorators: Callable[[Function], Function]) -> Function:
    """Several options as one decorator, in the order of the help."""
    for decorate in reversed(decorators):
        function = decorate(function)
    return function
