"""Does "decided", while a comparison is judged, say more than the verdict of ``compare`` will?

``evaluation.diagnose.outlook`` rests on one half of the test that verdicts rest on. On simulated questions of
many shapes, all of them judged: how often it calls the system better, how often ``compare`` does, and how
often it alone does.

    python benchmarks/outlook_check.py                # 150 sets of questions per row, two minutes of one core
    python benchmarks/outlook_check.py --trials 10    # a quick look
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from common import machine_line, markdown_table

from qembed.evaluation.diagnose.outlook import Question, level_of, outlook
from qembed.evaluation.statistics.compare import compare

Floats: TypeAlias = npt.NDArray[np.float64]
Generator: TypeAlias = np.random.Generator

SIZES: Final = (6, 10, 20, 50)
SHAPES: Final[dict[str, Callable[[Generator, int], Floats]]] = {
    "no difference": lambda random, n: random.normal(0, 0.3, n),
    "small": lambda random, n: random.normal(0.15, 0.3, n),
    "large": lambda random, n: random.normal(0.3, 0.3, n),
    "large, uneven": lambda random, n: random.normal(0.3, 0.6, n),
    "half tied": lambda random, n: np.where(random.random(n) < 0.5, 0, random.normal(0.25, 0.3, n)),
    "mostly tied": lambda random, n: np.where(random.random(n) < 0.7, 0, random.normal(0.5, 0.3, n)),
    "small wins, large losses": lambda random, n: np.where(random.random(n) < 0.85, 0.1, -0.3),
    "equal, small wins, large losses": lambda random, n: np.where(random.random(n) < 0.85, 0.05, -0.28),
    "all or nothing": lambda random, n: np.where(
        random.random(n) < 0.6, 0, np.where(random.random(n) < 0.85, 1, -1)
    ),
    "long tail": lambda random, n: random.exponential(0.2, n) - 0.05,
}


def row(shape: str, questions: int, trials: int, random: Generator) -> tuple[int, int, int]:
    """Sets that the outlook calls better, that ``compare`` does, and that only the outlook does."""
    said = verdicts = alone = 0
    for _ in range(trials):
        drawn = np.clip(SHAPES[shape](random, questions), -1, 1).astype(np.float64)
        settled = [Question(one, one, one) for one in drawn.tolist()]
        ours = outlook(settled, level_of(1), given=questions, left=0).state == "better"
        theirs = compare(np.zeros(questions), drawn, resamples=100).verdict == "better"
        said, verdicts, alone = said + ours, verdicts + theirs, alone + (ours and not theirs)
    return said, verdicts, alone


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=150, help="sets of questions per row")
    trials = parser.parse_args(arguments).trials
    random = np.random.default_rng(0)
    rows = [
        [shape, str(size), *map(str, row(shape, size, trials, random))] for size in SIZES for shape in SHAPES
    ]
    print(f"{machine_line()}; {trials} sets of questions per row\n")
    print(markdown_table(["differences", "questions", "decided", "compare", "decided only"], rows))
    print(f"\nof {trials * len(rows):,} sets, decided only: {sum(int(one[-1]) for one in rows)}")


if __name__ == "__main__":
    main()
