"""Tables that are too wide for the terminal."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from qembed.terminal.folding import fold
from qembed.terminal.output import table

NAMES = ("vectors", "baseline > ms-marco-MiniLM-L6-v2")


def printed(measures: int, width: int = 80, verdict: str = "") -> list[str]:
    """A table as ``bench`` has it; every number is another one."""
    heads = [f">nDCG\n@{at}" for at in range(measures)]
    made = table("system", *heads, ">95 %\ninterval", ">p50\nms", *(["verdict"] if verdict else []))
    for row, name in enumerate(NAMES):
        values = [f"0.{row}{at:03}" for at in range(measures)]
        made.add_row(Text(name), *values, "0.325-0.436", f"{row + 4},952", *([verdict] if verdict else []))
    made.add_row("best order", style="dim")
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(made)
    return file.getvalue().splitlines()


@given(st.integers(1, 40), st.integers(60, 120))
def test_no_number_and_no_name_is_cut(measures: int, width: int) -> None:
    lines = printed(measures, width)
    words = " ".join(lines).split()
    for row in range(2):
        for at in range(measures):
            assert words.count(f"0.{row}{at:03}") == 1
        assert words.count(f"{row + 4},952") == 1
    assert words.count("0.325-0.436") == 2
    tables = words.count("system")
    assert words.count("vectors") == words.count("ms-marco-MiniLM-L6-v2") == tables
    assert max(map(len, lines)) <= width


def test_what_fits_stays_one_table() -> None:
    assert sum("system" in line for line in printed(2)) == 1
    assert sum("system" in line for line in printed(8)) == 2


def test_a_long_text_is_folded_before_its_column_moves() -> None:
    lines = printed(1, verdict="cannot tell; about 400 queries would be needed")
    assert sum("system" in line for line in lines) == 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(20, 120))
def test_every_column_is_in_one_table(widths: list[int], width: int) -> None:
    groups = list(fold(widths, width))
    assert [at for group in groups for at in group[1:]] == list(range(1, len(widths)))
    for group in groups:
        assert group[0] == 0
        assert len(group) <= 2 or sum(widths[at] for at in group) + 2 * (len(group) - 1) <= width
