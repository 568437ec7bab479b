"""Is the chosen rerank depth a good one? Split halves: chosen by one half of the queries, judged by the
other.

For each bundled eval set the values of all depths are measured once (``--values`` keeps them, so that the
rest can be repeated in a minute). Then, many times, the queries are halved at random. The loss is the mean of
the depth that is best over all queries less that of the chosen one, on the half that did not choose; where
the rule says that its queries cannot tell, the depth of the highest mean is taken, as it says.

    python benchmarks/depth_check.py --values depth-values/
    python benchmarks/depth_check.py --sets qdrant_ecosystem --qdrant-ecosystem CHUNKS --values depth-values/
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from common import machine_line, markdown_table

from qembed.evaluation.diagnose.frontier import Frontier, frontier

Values: TypeAlias = dict[int, npt.NDArray[np.float64]]
MEASURE = "nDCG@10"
RERANKER = "maxsim:minilm"
MARGIN = 0.01


def measured(eval_set: str, chunks: Path | None) -> Values:
    """Depth -> value of each query that has an answer."""
    from retrieval import collection

    from qembed import BenchOptions, EmbedOptions, bench, embed
    from qembed.evaluation.measures import parse_measure
    from qembed.evaluation.systems.system import run_at
    from qembed.evaluation.systems.values import values_of

    with tempfile.TemporaryDirectory(prefix="qembed-depth-") as name:
        vectors = Path(name) / "vectors"
        embed(collection(eval_set, Path(name), chunks), vectors, EmbedOptions(model="minilm"))
        options = BenchOptions(rerankers=(RERANKER,), measures=(MEASURE,), latency_queries=0)
        result = bench(vectors, eval_set, options)
    system = next(row.system for row in result.rows if row.system.reranking is not None)
    depths = [point.depth for point in result.frontiers[system.name].points]
    found = {
        depth: values_of(result.qrels, run_at(system, depth), parse_measure(MEASURE)) for depth in depths
    }
    known = ~np.isnan(found[depths[0]])
    return {depth: values[known] for depth, values in found.items()}


def kept(eval_set: str, chunks: Path | None, folder: Path | None) -> Values:
    """Values from ``folder``, measured first if they are not there."""
    file = folder / f"{eval_set}.npz" if folder else None
    if file and file.exists():
        return {int(depth): values for depth, values in np.load(file).items()}
    found = measured(eval_set, chunks)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{str(depth): values for depth, values in found.items()})  # type: ignore[arg-type]
    return found


def looked_at(values: Values) -> Frontier:
    """The frontier of these queries."""
    return frontier(MEASURE, values, values, {}, margin=MARGIN, resamples=1000)


class Rule:
    """What the rule says; the depth of the highest mean where these queries cannot tell.

    Attributes:
        open: How often they could not.
    """

    def __init__(self) -> None:
        self.open = 0

    def __call__(self, values: Values) -> int:
        found = looked_at(values)
        self.open += found.chosen is None
        return found.best if found.chosen is None else found.chosen


def losses(values: Values, rules: dict[str, Callable[[Values], int]], splits: int) -> dict[str, list[float]]:
    """Rule -> loss in each split."""
    best = max(values, key=lambda depth: values[depth].mean())
    queries = len(values[best])
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in rules}
    for _ in range(splits):
        order = generator.permutation(queries)
        chooses, judges = order[: queries // 2], order[queries // 2 :]
        half = {depth: column[chooses] for depth, column in values.items()}
        for name, rule in rules.items():
            chosen = rule(half)
            found[name].append(float((values[best][judges] - values[chosen][judges]).mean()))
    return found


def main() -> None:
    """Print what the rule says of each eval set, and the losses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["python_api", "handbook"])
    parser.add_argument("--qdrant-ecosystem", type=Path, metavar="CHUNKS", help="the collection it judges")
    parser.add_argument("--values", type=Path, metavar="FOLDER", help="keep the values by query here")
    parser.add_argument("--splits", type=int, default=100)
    arguments = parser.parse_args()
    print(f"### depth_check: {RERANKER}, {MEASURE}, {arguments.splits} splits\n")
    print(machine_line(("numpy", "scipy")) + "\n")
    rows = []
    for eval_set in arguments.sets:
        values = kept(eval_set, arguments.qdrant_ecosystem, arguments.values)
        found = looked_at(values)
        fixed = {f"always {depth}": (lambda _, depth=depth: depth) for depth in values}
        rule = Rule()
        lost = losses(values, {"the rule": rule, **fixed}, arguments.splits)
        means = ", ".join(f"{depth}: {column.mean():.3f}" for depth, column in values.items())
        chosen = "none, these queries cannot tell" if found.chosen is None else found.chosen
        halves = f"{rule.open} of {arguments.splits} halves cannot tell"
        print(f"{eval_set}: best {found.best}, chosen {chosen}; {halves}. Means by depth: {means}\n")
        rows += [
            [eval_set, name, f"{np.mean(each):+.3f}", f"{np.quantile(each, 0.95):+.3f}"]
            for name, each in lost.items()
        ]
    print(markdown_table(["eval set", "depth", "mean loss", "95th percentile"], rows, left=(0, 1)))


if __name__ == "__main__":
    main()
