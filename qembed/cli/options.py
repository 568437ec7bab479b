"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

EMBEDDINGS = click.argument("embeddings", type=click.Path(path_type=Path))
INPUT = click.argument("input", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")


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
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
            default="auto",
            show_default=True,
            help="Of weights and arithmetic; auto: fp32 on a CPU, bf16 or fp16 on a GPU.",
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
