"""Are the statistics right? ``evaluation.statistics`` judges simulated systems whose difference is known.

For several shapes of per-query differences and numbers of queries it prints

- A/A: how often p <= .05, and how often a verdict better or worse, between two systems that are equally good
  (5 % and at most 5 % are right);
- coverage: how often the interval of 95 % holds the true difference;
- at the margin: how often "equivalent" is said when the true difference is the margin itself (at most 5 %);
- the coverage of other intervals on the same draws: why ours is the wider of BCa and percentile;
- the share of right verdicts at the number of queries that ``power`` asks for (80 % is right).

    python benchmarks/statistics_check.py                # 2,000 trials, about 10 minutes of one core
    python benchmarks/statistics_check.py --trials 200   # a quick look
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from common import machine_line, markdown_table
from qembed.evaluation.statistics.resampling import bca_levels, bootstrap_means, intervals
from scipy import special

from qembed.evaluation.statistics.compare import compare
from qembed.evaluation.statistics.power import queries_for_difference

Floats: TypeAlias = npt.NDArray[np.float64]
Generator: TypeAlias = np.random.Generator

SIZES = (20, 30, 50, 100, 200)
ALPHA = 0.05
MANY = 4_000_000  # draws for the true mean of a shape
TRIALS_PER_SEED = 100  # so many trials share their resamples, which makes them quick


def _ranks(generator: Generator, queries: int, likeness: float, ahead: float) -> tuple[Floats, Floats]:
    """Ranks of the one relevant item in two systems, log-normal and correlated; the second is ahead."""
    shared, first, second = generator.normal(size=(3, queries))
    own = math.sqrt(1 - likeness**2)
    return (
        np.ceil(np.exp(1.2 + 1.4 * (likeness * shared + own * first))),
        np.ceil(np.exp(1.2 - ahead + 1.4 * (likeness * shared + own * second))),
    )


def _ndcg(generator: Generator, queries: int) -> Floats:
    """nDCG@10 of one relevant item, systems that have little in common."""
    before, after = (np.where(r <= 10, 1 / np.log2(r + 1), 0) for r in _ranks(generator, queries, 0.7, 0.3))
    return np.asarray(after - before)


def _mrr(generator: Generator, queries: int) -> Floats:
    """MRR@10 of systems that are alike."""
    before, after = (np.where(r <= 10, 1 / r, 0) for r in _ranks(generator, queries, 0.9, 0.3))
    return np.asarray(after - before)


def _hit(generator: Generator, queries: int) -> Floats:
    """hit@10: all or nothing, and most queries do not differ."""
    return generator.choice([-1.0, 0.0, 1.0], p=[0.05, 0.83, 0.12], size=queries)


def _few(generator: Generator, queries: int) -> Floats:
    """Seven queries of ten do not differ at all, the others by any amount."""
    return np.where(generator.random(queries) < 0.7, 0, generator.normal(0.05, 0.3, size=queries))


def _one_sided(generator: Generator, queries: int) -> Floats:
    """Six queries of ten do not differ, most others gain, a few gain much."""
    return np.where(generator.random(queries) < 0.6, 0, generator.beta(1, 4, size=queries) - 0.05)


def _smooth(generator: Generator, queries: int) -> Floats:
    """Normal differences: AP over many relevant items."""
    return generator.normal(0.02, 0.2, size=queries)


def _rare(generator: Generator, queries: int) -> Floats:
    """Four queries of a hundred lose a quarter, no other differs: what small samples may not contain."""
    return np.where(generator.random(queries) < 0.04, -0.25, 0.0)


SHAPES: dict[str, Callable[[Generator, int], Floats]] = {
    "smooth": _smooth,
    "nDCG@10": _ndcg,
    "MRR@10": _mrr,
    "70 % ties": _few,
    "one-sided": _one_sided,
    "hit@10": _hit,
    "rare": _rare,
}


@dataclass(frozen=True)
class Shares:
    """Of all trials, as shares."""

    false_positives: float
    wrong_verdicts: float
    coverage: float
    false_equivalence: float


def true_mean(shape: str) -> float:
    """Mean difference of a shape."""
    return float(SHAPES[shape](np.random.default_rng(1), MANY).mean())


def check(shape: str, queries: int, *, trials: int, resamples: int, seed: int = 0) -> Shares:
    """Trials with a shape: of A/A pairs, and of pairs with the shape's own difference."""
    generator = np.random.default_rng([seed, queries])
    truth = true_mean(shape)
    counts = np.zeros(4)
    for trial in range(trials):
        settings = {"resamples": resamples, "seed": seed + trial // TRIALS_PER_SEED}
        difference = SHAPES[shape](generator, queries)
        baseline = np.zeros(queries)
        # Which of two equally good systems is called the baseline is a matter of chance, query by query.
        same = compare(baseline, difference * generator.choice([-1.0, 1.0], queries), margin=0, **settings)
        other = compare(baseline, difference, margin=abs(truth), **settings)
        counts += (
            same.p <= ALPHA,
            same.verdict in ("better", "worse"),
            other.low <= truth <= other.high,
            other.verdict == "equivalent",
        )
    return Shares(*map(float, counts / trials))


def coverage_of_methods(shape: str, queries: int, *, trials: int, resamples: int) -> list[float]:
    """Coverage of Student's t, percentile, BCa, both of them at small-sample levels, the wider of these."""
    generator = np.random.default_rng([0, queries])
    truth = true_mean(shape)
    normal, student = special.ndtri(0.975), special.stdtrit(queries - 1, 0.975)
    reach = student * math.sqrt(queries / (queries - 1))
    held = np.zeros(6)
    for trial in range(trials):
        sample = SHAPES[shape](generator, queries)
        means = bootstrap_means(sample[:, None], resamples=resamples, seed=trial // TRIALS_PER_SEED)
        half = student * sample.std(ddof=1) / math.sqrt(queries)
        ends = [np.array([-half, half])]
        for width in (normal, reach):
            percentile = special.ndtr([-width, width])
            levels = bca_levels(sample, means[0], width)
            ends += [
                np.quantile(means[0], chosen)
                for chosen in (percentile, percentile if levels is None else levels)
            ]
        ends.append(intervals(sample[:, None], means, 0.95)[:, 0] - sample.mean())
        held += [low <= truth - sample.mean() <= high for low, high in ends]
    return [float(share) for share in held / trials]


def power_reached(shape: str, *, trials: int, resamples: int) -> tuple[int, float]:
    """Queries that ``power`` asks for to see a shape's difference; share of right verdicts with so many."""
    many = SHAPES[shape](np.random.default_rng(1), MANY)
    queries = queries_for_difference(float(many.mean()), float(many.std()))
    assert queries is not None
    right = "better" if many.mean() > 0 else "worse"
    generator = np.random.default_rng(0)
    reached = 0
    for trial in range(trials):
        difference = SHAPES[shape](generator, queries)
        seed = trial // TRIALS_PER_SEED
        verdict = compare(np.zeros(queries), difference, margin=0, resamples=resamples, seed=seed).verdict
        reached += verdict == right
    return queries, reached / trials


def percent(share: float) -> str:
    """``4.9``, in per cent."""
    return f"{100 * share:.1f}"


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    options = {"trials": arguments.trials, "resamples": arguments.resamples}
    print(f"### statistics_check: {arguments.trials:,} trials, {arguments.resamples:,} resamples\n")
    print(machine_line(("numpy", "scipy")) + "\n\nAll in per cent.\n")
    cells = [(shape, queries) for shape in SHAPES for queries in arguments.sizes]
    rows: list[Sequence[str]] = []
    for shape, queries in cells:
        shares = check(shape, queries, **options)
        figures = (shares.false_positives, shares.wrong_verdicts, shares.coverage, shares.false_equivalence)
        rows.append([shape, str(queries), *map(percent, figures)])
    header = ["differences", "queries", "A/A p <= .05", "A/A verdict", "coverage", "equivalent at the margin"]
    print(markdown_table(header, rows) + "\n")
    methods = ["t", "percentile", "BCa", "percentile, small", "BCa, small", "wider of both"]
    rows = [
        [shape, str(queries), *map(percent, coverage_of_methods(shape, queries, **options))]
        for shape, queries in cells
    ]
    print(markdown_table(["coverage", "queries", *methods], rows) + "\n")
    rows = []
    for shape in SHAPES:
        queries, share = power_reached(shape, **options)
        rows.append([shape, f"{queries:,}", percent(share)])
    print(markdown_table(["differences", "queries asked for", "right verdict"], rows))


if __name__ == "__main__":
    main()
