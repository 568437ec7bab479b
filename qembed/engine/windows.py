"""Windows: some thousand texts that are tokenised at once, sorted by length, and written out together.

Memory does not grow with the corpus, and tokenising, computing and writing overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from qembed.engine.ragged import pack_texts, window_path, write_ragged
from qembed.models.tokens import Tokenized
from qembed.records import Lengths

WINDOW_TEXTS = 16_384
"""Texts of a window: enough that sorting leaves no padding, little memory."""

_WINDOWS_AHEAD = 2  # tokenised, or being tokenised, and not taken


class Tokenizer(Protocol):
    """What the engine needs of a tokenizer; ``models.TokenCounter`` is one."""

    def encode(self, texts: Sequence[str], max_tokens: int) -> Tokenized:
        """Token ids as the model reads them, and lengths before truncation."""

    def count(self, texts: Sequence[str]) -> Lengths:
        """Lengths before truncation."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How the texts are put together; the same plan gives the same batches.

    Attributes:
        max_tokens: Read of each text.
        token_budget: Padded tokens of a batch at most.
        max_batch: Texts of a batch at most; no limit when None.
        window_texts: Texts of a window.
        reads_tokens: Whether the model takes token ids; else it takes texts.
    """

    max_tokens: int
    token_budget: int
    max_batch: int | None = None
    window_texts: int = WINDOW_TEXTS
    reads_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """Texts that have been tokenised; their file is in the work folder.

    Attributes:
        number: From 0.
        first_row: Row of its first text.
        lengths: Tokens before truncation; int64 (texts,).
    """

    number: int
    first_row: int
    lengths: Lengths


def tokenize_windows(
    texts: Callable[[int, int], Sequence[str]], tokenizer: Tokenizer, plan: RunPlan, folder: Path, count: int
) -> Iterator[Window]:
    """Tokenise window after window, each into its file.

    Raises:
        OSError: The disk is full.
    """
    for number, first in enumerate(range(0, count, plan.window_texts)):
        window_texts = texts(first, min(first + plan.window_texts, count))
        with window_path(folder, number).open("wb") as file:
            if plan.reads_tokens:
                tokenized = tokenizer.encode(window_texts, plan.max_tokens)
                lengths = tokenized.lengths
                write_ragged(file, tokenized.offsets, tokenized.ids)
            else:
                lengths = tokenizer.count(window_texts)
                write_ragged(file, *pack_texts(window_texts))
        yield Window(number, first, lengths)


class ahead:  # noqa: N801 - reads as a function
    """Runs an iterator in another thread, two items ahead; its exception is raised here.

    The threads meet in ``SimpleQueue`` only: Ctrl-C at the wrong moment leaves other locks locked.
    """

    def __init__(self, items: Iterator[Window]) -> None:
        self._items = items
        self._made: SimpleQueue[Window | BaseException | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._run, name="qembed tokenizer", daemon=True)

    def __enter__(self) -> Iterator[Window]:
        for _ in range(_WINDOWS_AHEAD):
            self._room.put(None)
        self._thread.start()
        return iter(self._take, None)

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._room.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._room.get()
                item = None if self._closed else next(self._items, None)
                self._made.put(item)
                if item is None:
                    return
        except BaseException as error:  # a panic in a tokenizer is no Exception, and must not be waited for
            self._made.put(error)

    def _take(self) -> Window | None:
        item = self._made.get()
        if isinstance(item, BaseException):
            raise item
        self._room.put(None)
        return item
