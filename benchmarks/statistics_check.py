"""Are the verdicts right? ``evaluation.statistics`` judges simulated systems whose difference is known.

- false verdicts: two systems with the same mean, over shapes of per-query differences that are skewed, tied,
  heavy in the tails, or all or nothing. At most 6 % may be called better or worse, at every number of
  queries. Signs are not flipped: that would make each shape symmetric, and every test of symmetry exact.
- false "equivalent": the true difference is the margin itself, mostly because few queries lose much.
- coverage: of the interval of a difference, of a proportion, and of all intervals of a family together.
- power: how often the smallest detectable difference of a pilot is shown to another sample, by number of
  systems.
- queries needed: how often the range that a pilot gives holds the true number.

    python benchmarks/statistics_check.py                 # 2,000 trials, about ten minutes of one core
    python benchmarks/statistics_check.py --trials 100    # a quick look
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from common import machine_line, markdown_table
from scipy import special, stats

from qembed.evaluation.statistics import power
from qembed.evaluation.statistics.compare import holm, mean_interval
from qembed.evaluation.statistics.mean import Sample
from qembed.evaluation.statistics.randomisation import sign_flip_p

Floats: TypeAlias = npt.NDArray[np.float64]
Generator: TypeAlias = np.random.Generator
Shape: TypeAlias = Callable[[Generator, int], Floats]

SIZES: Final = (6, 10, 20, 30, 50, 100, 200)
FAMILIES: Final = (1, 3, 5, 10)
ALPHA: Final = 0.05


def _rare(share: float, gain: float, noise: float = 0.0) -> Shape:
    """A share of the queries gains much; the others lose what makes up for it, more or less alike."""

    def draw(generator: Generator, queries: int) -> Floats:
        others = generator.normal(-gain * share / (1 - share), noise, queries)
        return np.where(generator.random(queries) < share, gain, others)

    return draw


def _smooth(generator: Generator, queries: int) -> Floats:
    """Normal differences: AP over many relevant items."""
    return generator.normal(0, 0.25, queries)


def _ndcg(generator: Generator, queries: int) -> Floats:
    """nDCG@10 of one relevant item, in systems that have little in common."""
    shared, *own = generator.normal(size=(3, queries))
    ranks = [np.ceil(np.exp(1.2 + 1.4 * (0.7 * shared + 0.714 * one))) for one in own]
    before, after = (np.where(rank <= 10, 1 / np.log2(rank + 1), 0) for rank in ranks)
    return np.asarray(after - before)


def _tied(generator: Generator, queries: int) -> Floats:
    """Seven queries of ten do not differ; of the others most lose a little and few gain much."""
    skewed = generator.beta(0.3, 1.2, queries) - 0.2
    return np.where(generator.random(queries) < 0.7, 0, skewed)


def _exponential(generator: Generator, queries: int) -> Floats:
    """Skewed without a gap."""
    return generator.exponential(0.1, queries).clip(max=1) - 0.1 + 0.1 * float(np.exp(-10))


def _heavy(generator: Generator, queries: int) -> Floats:
    """Student's t with two degrees of freedom: few queries decide the mean."""
    return (0.1 * generator.standard_t(2, queries)).clip(-1, 1)


def _hit(generator: Generator, queries: int) -> Floats:
    """hit@10: all or nothing, and most queries do not differ."""
    return generator.choice([-1.0, 0.0, 1.0], p=[0.08, 0.84, 0.08], size=queries)


NULLS: Final[dict[str, Shape]] = {
    "1 in 10 gains .9": _rare(0.1, 0.9),
    "1 in 10 gains .45": _rare(0.1, 0.45),
    "1 in 20 gains .9, noise": _rare(0.05, 0.9, 0.05),
    "1 in 50 gains .9": _rare(0.02, 0.9),
    "exponential": _exponential,
    "70 % ties, skewed": _tied,
    "heavy tails": _heavy,
    "hit@10": _hit,
    "nDCG@10": _ndcg,
    "normal": _smooth,
}
"""Of mean 0; every difference lies between -1 and 1, but for normal ones in a ten thousandth of the draws."""


def sample(differences: Floats) -> Sample:
    """What ``compare`` makes of differences."""
    return Sample(differences, np.ones(len(differences)), -1.0, max(1.0, float(np.abs(differences).max())))


def false_verdicts(shape: Shape, queries: int, *, trials: int, seed: int = 0) -> tuple[float, float]:
    """Of equal systems: how often p is at most .05, of the randomisation test and of the verdict's.

    The second is also how often the interval of 95 % excludes the true difference.
    """
    generator = np.random.default_rng([seed, queries])
    drawn = [shape(generator, queries) for _ in range(trials)]
    randomised = sign_flip_p(np.stack(drawn, axis=1), resamples=1000, seed=seed)
    return float((randomised <= ALPHA).mean()), float(np.mean([sample(one).p() <= ALPHA for one in drawn]))


def false_equivalence(share: float, loss: float, queries: int, *, trials: int) -> float:
    """How often "equivalent" is said where a share of the queries loses, and the mean loss is the margin
    itself."""
    generator = np.random.default_rng(queries)
    margin, said = share * loss, 0
    for _ in range(trials):
        low, high = sample(-loss * (generator.random(queries) < share)).ends(ALPHA, one_sided=True)
        said += -margin <= low and high <= margin
    return said / trials


def proportion_coverage(share: float, queries: int) -> float:
    """How often the interval of a hit rate holds the true one: exactly, over all outcomes."""
    hits = np.arange(queries + 1)
    values = [np.repeat([1.0, 0.0], [hit, queries - hit]) for hit in hits]
    held = [one.low <= share <= one.high for one in map(mean_interval, values)]
    return float(stats.binom.pmf(hits, queries, share)[held].sum())


def family_check(systems: int, queries: int, *, trials: int) -> tuple[float, float]:
    """Equal systems: how often any has a verdict. Every second better by .1: how often all intervals hold."""
    generator = np.random.default_rng([systems, queries])
    better = np.arange(systems) % 2 == 1
    any_verdict = all_hold = 0
    for _ in range(trials):
        shared = _ndcg(generator, queries)
        equal = [0.5 * shared + 0.5 * _ndcg(generator, queries) for _ in range(systems)]
        p = np.array([sample(one).p() for one in equal])
        any_verdict += min(holm(p.tolist())) <= ALPHA
        moved = [sample(one + 0.1 * gains).p() for one, gains in zip(equal, better, strict=True)]
        # An interval holds its truth where that is not rejected at alpha / systems, and 0 not by Holm.
        adjusted = np.array(holm(moved))
        all_hold += bool((p > ALPHA / systems).all() and (adjusted > ALPHA)[~better].all())
    return any_verdict / trials, all_hold / trials


def power_reached(shape: Shape, systems: int, queries: int, *, trials: int) -> float:
    """How often the difference that a pilot calls detectable is shown to another sample, among equal
    systems."""
    generator = np.random.default_rng([systems, queries])
    shown = 0
    for _ in range(trials):
        pilot = sample(shape(generator, queries))
        again = [shape(generator, queries) for _ in range(systems)]
        again[0] = again[0] + power.detectable_difference(pilot, alpha=ALPHA / systems)
        shown += holm([sample(one).p() for one in again])[0] <= ALPHA
    return shown / trials


def enough_queries(difference: float) -> int:
    """How many queries show this difference with 80 % power, told by a very large pilot."""
    normal = 0.25 * special.ndtri((np.arange(2000) + 0.5) / 2000)
    found = power.queries_for_difference(difference, sample(normal))
    assert found is not None
    return found


def shown_by(difference: float, queries: int, *, trials: int) -> float:
    """How often this many queries show the difference."""
    generator = np.random.default_rng(queries)
    return float(
        np.mean([sample(_smooth(generator, queries) + difference).p() <= ALPHA for _ in range(trials)])
    )


def needed_right(difference: float, queries: int, *, trials: int) -> tuple[float, float]:
    """Of pilots that cannot tell: share with a range of queries, and share of these that hold the true
    number."""
    generator = np.random.default_rng(queries)
    truth = enough_queries(difference)
    given, right, untold = 0, 0, 0
    for _ in range(trials):
        pilot = sample(_smooth(generator, queries) + difference)
        if pilot.p() <= ALPHA:
            continue
        untold += 1
        needed = power.queries_needed(pilot, margin=0, alpha=ALPHA, alpha_equivalence=ALPHA)
        given += needed is not None
        right += needed is not None and needed[0] <= truth <= needed[1]
    return given / max(untold, 1), right / max(given, 1)


def percent(share: float) -> str:
    """``4.9``, in per cent."""
    return f"{100 * share:.1f}"


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    trials, sizes = arguments.trials, arguments.sizes
    fewer = max(1, trials // 4)
    print(f"### statistics_check: {trials:,} trials, all in per cent\n\n{machine_line(('numpy', 'scipy'))}\n")
    _print_nulls(sizes, trials)
    numbers = [str(queries) for queries in sizes]
    rows = [
        [
            f"1 in {round(1 / share)} loses {loss}",
            *(percent(false_equivalence(share, loss, n, trials=trials)) for n in sizes),
        ]
        for share, loss in ((0.04, 0.25), (0.02, 0.5), (0.01, 1.0))
    ]
    _print(["equivalent, falsely", *numbers], rows)
    rows = [
        [f"{share:g}", *(percent(proportion_coverage(share, n)) for n in sizes)]
        for share in (0.5, 0.8, 0.95, 0.99)
    ]
    _print(["coverage of a hit rate", *numbers], rows)
    rows = [
        [str(systems), *(percent(one) for n in (50, 150) for one in family_check(systems, n, trials=fewer))]
        for systems in FAMILIES
    ]
    _print(
        ["systems", "any verdict, 50", "all intervals, 50", "any verdict, 150", "all intervals, 150"], rows
    )
    rows = [
        [name, str(n), *(percent(power_reached(NULLS[name], each, n, trials=fewer)) for each in FAMILIES)]
        for name in ("normal", "nDCG@10")
        for n in (50, 150)
    ]
    _print(["power", "queries", *(f"{systems} systems" for systems in FAMILIES)], rows)
    rows = []
    for difference, n in ((0.05, 80), (0.08, 50), (0.05, 150)):
        truth = enough_queries(difference)
        figures = (shown_by(difference, truth, trials=fewer), *needed_right(difference, n, trials=fewer))
        rows.append([f"{difference:g}", str(n), str(truth), *map(percent, figures)])
    _print(["true difference", "pilot", "asked for", "shown by these", "range given", "range right"], rows)


def _print_nulls(sizes: Sequence[int], trials: int) -> None:
    rows = []
    for name, shape in NULLS.items():
        found = [false_verdicts(shape, queries, trials=trials) for queries in sizes]
        for test, shares in zip(("randomisation", "verdict"), zip(*found, strict=True), strict=True):
            rows.append([name, test, *map(percent, shares)])
    _print(["equal systems", "queries", *map(str, sizes)], rows)


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(markdown_table(header, rows, left=(0, 1) if header[1] == "queries" else (0,)) + "\n", flush=True)


if __name__ == "__main__":
    main()
