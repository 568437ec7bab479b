"""Where does a reranker win and lose? A stored bench, query by query.

    qembed bench out/ -e python_api -r msmarco -r maxsim:minilm -o reports
    python benchmarks/why_reranking.py reports/0001_python_api [MORE...]

Over the queries with an answer, every system against the first row of the bench (the vectors alone):

- by kind of query, where queries.jsonl says it (metadata.kind), and by its length in words;
- by how many of the query's words its best answer contains;
- by where the vectors had put the best answer: what was there to win, and to lose;
- what stands first: its length in tokens, beside that of the answers;
- what nobody has judged: how much of the first ten, the measure once more over rankings from which it is
  left out (condensed lists, Sakai 2007), and the difference that is possible whatever it is.

The groups are looked at after the fact and overlap; their intervals are not corrected for that. They say
where to look, not what is so.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import markdown_table

from qembed.evaluation.eval_sets.bundled import find_eval_set
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import evaluate
from qembed.evaluation.statistics.compare import mean_interval

LEAST = 5
"""A group of fewer queries is left out."""

KINDS = ("how-to", "paraphrase", "why", "keyword", "code", "concept")


@dataclass(frozen=True)
class Query:
    """One query of a stored bench.

    Attributes:
        id: Its id.
        kind: As queries.jsonl says.
        text: The query.
        values: System -> the measure.
        hits: System -> its first results, best first; each with ``unit``, ``text``, ``tokens``.
        ranks: System -> rank of the best answer among all candidates; infinite where none is among them.
        grades: Judged unit -> grade.
    """

    id: str
    kind: str
    text: str
    values: dict[str, float]
    hits: dict[str, list[dict[str, Any]]]
    ranks: dict[str, float]
    grades: dict[str, int]

    def answer(self, systems: Iterable[str]) -> dict[str, Any] | None:
        """The text of a unit with the highest grade, where any system shows one."""
        best = max(self.grades.values())
        shown = (hit for system in systems for hit in self.hits[system])
        return next((hit for hit in shown if self.grades.get(hit["unit"], 0) == best), None)


def main() -> None:
    """Print the tables of each bench, and those of the groups once more over all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benches", nargs="+", type=Path, help="Folders that `qembed bench` stored.")
    parser.add_argument("--systems", nargs="*", help="Systems to show.  [default: the reranked ones]")
    arguments = parser.parse_args()
    everything: list[Query] = []
    for folder in arguments.benches:
        document = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        names = [system["name"] for system in document["systems"]]
        base, measure = names[0], document["measures"][0]
        shown = arguments.systems or [name for name in names if name.startswith(f"{base} > ")]
        queries = read_queries(folder, document)
        everything += queries
        print(f"\n## why_reranking: {document['eval_set']['name']}, {len(queries)} queries, {measure}\n")
        print_groups(queries, base, names, shown)
        print(first_results(queries, [base, *shown]), end="\n\n")
        print(unjudged(folder, document, queries, [base, *shown]), end="\n\n")
        print(truncation(document, shown))
    if len(arguments.benches) > 1:
        print(f"\n## why_reranking: all {len(arguments.benches)}, {len(everything)} queries, {measure}\n")
        print_groups(everything, base, names, shown)


def print_groups(queries: list[Query], base: str, names: list[str], shown: list[str]) -> None:
    """A table per way to group the queries."""
    print(f"Difference to {base}, with the 95 % interval; in front the mean of {base}.\n")
    for title, groups in groupings(queries, base, names).items():
        print(by_group(title, groups, base, shown), end="\n\n")


def read_queries(folder: Path, document: dict[str, Any]) -> list[Query]:
    """The queries with an answer, as the bench and its eval set have them."""
    measure = document["measures"][0]
    values: dict[str, dict[str, float]] = {}
    with (folder / "per_query.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values.setdefault(row["query_id"], {})[row["system"]] = float(row[measure] or "nan")
    texts = {(line["side"], line["chunk_id"]): line for line in read_lines(folder / "texts.jsonl")}
    given = Path(document["eval_set"]["folder"])
    eval_set = given if given.is_dir() else find_eval_set(document["eval_set"]["name"])
    kinds = {
        line["_id"]: line.get("metadata", {}).get("kind", "")
        for line in read_lines(eval_set / "queries.jsonl")
    }
    found = []
    for line in read_lines(folder / "hits.jsonl"):
        if not any(grade > 0 for grade in line["judged"].values()):
            continue
        hits, ranks = {}, {}
        for name, system in line["systems"].items():
            hits[name] = [
                {"unit": hit["unit"], **texts[system["side"], hit["chunk_id"]]} for hit in system["hits"]
            ]
            best = max(line["judged"].values())
            of_best = [
                rank for unit, rank in system["ranks_of_relevant"].items() if line["judged"][unit] == best
            ]
            ranks[name] = min(of_best, default=math.inf)
        query = line["query_id"]
        found.append(
            Query(query, kinds.get(query, ""), line["text"], values[query], hits, ranks, line["judged"])
        )
    return found


def groupings(queries: list[Query], base: str, names: list[str]) -> dict[str, dict[str, list[Query]]]:
    """Title -> group -> its queries."""

    def split(key: Callable[[Query], str], order: Iterable[str]) -> dict[str, list[Query]]:
        return {name: [query for query in queries if key(query) == name] for name in order}

    return {
        "kind of query": {"all": queries, **split(lambda query: query.kind, KINDS)},
        "words of the query": split(
            lambda query: length_group(query.text), ("1 to 4", "5 to 9", "10 or more")
        ),
        "query's words in the best answer": split(
            lambda query: overlap_group(query, names), ("none", "below half", "half or more", "not shown")
        ),
        f"best answer in {base}": split(
            lambda query: rank_group(query.ranks[base]), ("first", "2 to 10", "11 to 100", "not found")
        ),
    }


def length_group(text: str) -> str:
    """Of a query, by its words."""
    count = len(words(text))
    return "1 to 4" if count < 5 else "5 to 9" if count < 10 else "10 or more"


def overlap_group(query: Query, names: list[str]) -> str:
    """By the share of the query's longer words that stand in its best answer."""
    answer = query.answer(names)
    asked = {word for word in words(query.text) if len(word) > 3}
    if answer is None or not asked:
        return "not shown"
    share = len(asked & words(answer["text"])) / len(asked)
    return "none" if share == 0 else "below half" if share < 0.5 else "half or more"


def rank_group(rank: float) -> str:
    """Where the best answer stood."""
    if rank == 1:
        return "first"
    return "2 to 10" if rank <= 10 else "11 to 100" if rank <= 100 else "not found"


def by_group(title: str, groups: dict[str, list[Query]], base: str, shown: list[str]) -> str:
    """A row per group: mean of the base, and how each system differs from it."""
    rows = []
    for name, queries in groups.items():
        if len(queries) >= LEAST:
            before = np.array([query.values[base] for query in queries])
            cells = [
                difference(np.array([query.values[system] for query in queries]) - before) for system in shown
            ]
            rows.append([name, str(len(queries)), f"{before.mean():.3f}", *cells])
    return markdown_table([title, "queries", base, *shown], rows)


def difference(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """Mean with interval, and how many queries gained and lost."""
    found = mean_interval(values)
    won, lost = int((values > 0).sum()), int((values < 0).sum())
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {won} up, {lost} down"


def first_results(queries: list[Query], systems: list[str]) -> str:
    """How long the first result is, and how often it is relevant or unjudged."""
    rows = []
    for system in systems:
        tops = [(query, query.hits[system][0]) for query in queries if query.hits[system]]
        tokens = [top["tokens"] for _, top in tops]
        grades = [query.grades.get(top["unit"]) for query, top in tops]
        rows.append([
            system,
            f"{np.median(tokens):.0f}",
            f"{np.mean([length > 256 for length in tokens]):.2f}",
            f"{np.mean([bool(grade) for grade in grades]):.2f}",
            f"{np.mean([grade is None for grade in grades]):.2f}",
        ])  # fmt: skip
    answers = [answer["tokens"] for query in queries if (answer := query.answer(systems))]
    rows.append(
        ["best answers", f"{np.median(answers):.0f}", f"{np.mean([n > 256 for n in answers]):.2f}"] + [""] * 2
    )
    header = ["first result", "median tokens", "over 256 tokens", "relevant", "unjudged"]
    return markdown_table(header, rows)


def unjudged(folder: Path, document: dict[str, Any], queries: list[Query], systems: list[str]) -> str:
    """The measure as it is, and over rankings without what nobody has judged."""
    measure = document["measures"][0]
    of = {system["name"]: system for system in document["systems"]}
    qrels = {query.id: query.grades for query in queries}
    rows, before = [], np.zeros(len(queries))
    for name in systems:
        run = read_run(folder / of[name]["run"])
        judged = [hit["unit"] in query.grades for query in queries for hit in query.hits[name][:10]]
        kept = {q: {unit: score for unit, score in run[q].items() if unit in qrels[q]} for q in qrels}
        values = evaluate(qrels, kept, [measure])[measure].loc[list(qrels)].to_numpy()
        before = values if name == systems[0] else before
        bounds = of[name]["difference_whatever_the_holes"]
        rows.append([
            name,
            f"{np.mean(judged):.3f}",
            f"{np.mean([query.values[name] for query in queries]):.3f}",
            f"{values.mean():.3f}",
            "" if name == systems[0] else difference(values - before),
            f"{bounds[0]:+.3f} to {bounds[1]:+.3f}" if bounds else "",
        ])  # fmt: skip
    header = [
        "system",
        "judged@10",
        measure,
        "without unjudged",
        "difference then",
        "whatever the unjudged are",
    ]
    return markdown_table(header, rows)


def truncation(document: dict[str, Any], shown: list[str]) -> str:
    """Pairs of which a reranker did not read all."""
    lines = []
    for system in document["systems"]:
        work = system["reranking"]
        if system["name"] in shown and work:
            share = work["truncated_pairs"] / max(1, work["unique_pairs"])
            reads = system["info"].get("max_tokens")
            lines.append(f"{system['name']} reads {reads} tokens: {share:.1%} of its pairs are longer.")
    return "\n".join(lines)


def words(text: str) -> set[str]:
    """Words in lower case; names of code fall into their parts."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return set(re.findall(r"[a-z0-9]+", spaced.lower()))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


if __name__ == "__main__":
    main()
