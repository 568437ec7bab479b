"""Command lines that are printed to be pasted into a shell."""

from __future__ import annotations

import shlex


def shell_line(*words: object) -> str:
    """The words as a POSIX shell takes them apart again: blanks, quotes and ``$`` in a path stay in it."""
    return shlex.join(map(str, words))
