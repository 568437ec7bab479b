"""Folders of chunks that qembed makes itself: what may be replaced in them, and all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from qembed.errors import OutputExists, UsageError

LEAST_TOKENS = 32
"""Below this limit, headers leave no room for text."""

Made = TypeVar("Made")


def check_output(output: Path, names: Sequence[str], marker: str, *, force: bool) -> None:
    """Refuse a folder that holds what this kind of command did not make.

    Args:
        output: To be made, or to be written into.
        names: Subfolders that will be made or replaced.
        marker: File that lies in each subfolder that may be replaced.
        force: Write into a folder that is not empty.

    Raises:
        OutputExists: naming what is in the way.
    """
    if output.exists() and not output.is_dir():
        raise OutputExists(
            "the output is a file, not a folder", where=str(output), remedy="name another folder"
        )
    if output.is_dir() and not force and any(output.iterdir()):
        raise OutputExists(
            "the output folder is not empty",
            where=str(output),
            remedy="name another folder, or pass --force to replace what is made again in it",
        )
    for name in names:
        folder = output / name
        if folder.exists() and not (folder / marker).is_file():
            raise OutputExists(
                f"{folder.name!r} in the output folder was not made by this command and is not replaced",
                where=str(folder),
                remedy="move it away, or name another output folder",
            )


def token_limit(max_tokens: int | None, model_tokens: int, model: str) -> int:
    """Most tokens of a chunk: as asked, or what the model reads.

    Raises:
        UsageError: Too few for any text, or more than the model reads.
    """
    if max_tokens is None:
        return model_tokens
    if max_tokens < LEAST_TOKENS:
        raise UsageError(
            f"{max_tokens} tokens leave no room for text", remedy=f"pass --max-tokens {LEAST_TOKENS} or more"
        )
    if max_tokens > model_tokens:
        raise UsageError(
            f"{model} reads {model_tokens} tokens and would truncate chunks of {max_tokens}",
            remedy=f"pass --max-tokens {model_tokens} or less, or --model with the model that will read them",
        )
    return max_tokens


def all_or_nothing(names: Sequence[str], output: Path, make: Callable[[str, Path], Made]) -> tuple[Made, ...]:
    """Make all subfolders in a folder beside the output, then rename them in.

    Args:
        names: Names of the subfolders.
        output: Where they belong.
        make: Makes one below the folder that it is given.
    """
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    try:
        made = tuple(make(name, work / "new") for name in names)
        _move_in(work, output, names)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def write_chunks(file: Path, chunks: Sequence[dict[str, Any]]) -> None:
    """One chunk file: an indented list."""
    file.write_bytes(orjson.dumps(chunks, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _move_in(work: Path, output: Path, names: Sequence[str]) -> None:
    made = work / "new"
    if not output.exists():
        made.rename(output)
        return
    for name in names:
        if (output / name).exists():
            (output / name).rename(work / f"old-{name}")
        (made / name).rename(output / name)
