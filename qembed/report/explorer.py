"""The queries with their results, each text once, as small as a page can carry it."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from qembed.evaluation.diagnose.agreement import overlap
from qembed.evaluation.diagnose.outlook import LEAST_LEADS, SO_FAR, WORDS, highest_grade, level_of
from qembed.report.asked import asked
from qembed.report.standing import can_stand, merge_command
from qembed.report.stored import StoredBench


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes into a page.

    Attributes:
        hits: Results per system and query; at least the first ten, which judging needs.
        characters: Most characters per text; the rest is left out, and the page says so.
    """

    hits: int
    characters: int


STEPS = (
    Limits(20, 20_000),
    Limits(20, 4_000),
    Limits(10, 4_000),
    Limits(10, 1_500),
    Limits(10, 500),
)
"""Tried in this order until a page is small enough."""


SAME_RANKS = 10
SAME = f"share of the first {SAME_RANKS} that the first system has too"
"""Stands for a measure where nothing is judged."""


@dataclass(slots=True)
class _Numbers:
    """Names -> positions, in order of appearance."""

    at: dict[Any, int] = field(default_factory=dict)

    def of(self, name: Any) -> int:
        return self.at.setdefault(name, len(self.at))


def explorer_data(bench: StoredBench, limits: Limits, *, links: str | None = None) -> dict[str, Any]:
    """What ``templates/explorer.js`` and ``judge.js`` read; units, texts and their contents are
    positions in lists.

    Args:
        bench: The stored bench.
        limits: How much of it.
        links: Address of a page with ``{page}`` in it; without, pages are not linked.
    """
    units, texts, contents = _Numbers(), _Numbers(), _Numbers()
    queries = [_query(line, bench, units, texts, limits) for line in bench.shown]
    places = {line["query_id"]: at for at, line in enumerate(bench.shown)}
    unjudged = [
        [places[query], units.of(unit), rank] for query, unit, rank in judgeable(bench) if query in places
    ]
    judged = bench.document["eval_set"]
    return {
        "judged": bench.judged,
        "measures": bench.measures or [SAME],
        "systems": [
            {"name": bench.labels[system["name"]], "side": _side(system["name"], bench)}
            for system in bench.systems
        ],
        "pair": _pair(bench),
        "judging": _judging(bench) if can_stand(bench) else None,
        "merge": merge_command(bench),
        "limits": [side["max_tokens"] for side in bench.document["sides"]] or [None],
        "level": judged["level"],
        "key": hashlib.sha256(f"{judged['name']}\0{judged['split']}".encode()).hexdigest()[:16],
        "evalSet": judged["name"],
        "split": judged["split"],
        "links": links,
        "units": list(units.at),
        "texts": [_text(bench.texts[key], contents) for key in texts.at],
        "contents": [
            [text[: limits.characters], max(0, len(text) - limits.characters)] for text in contents.at
        ],
        "queries": queries,
        "unjudged": unjudged,
    }


def judgeable(bench: StoredBench) -> list[tuple[str, str, int]]:
    """Unjudged results whose texts are known, with their queries: without, nobody can judge them."""
    known = {
        (line["query_id"], hit["unit"])
        for line in bench.shown
        for found in line["systems"].values()
        for hit in found["hits"]
        if line["text"] and (found["side"], hit["chunk_id"]) in bench.texts
    }
    return [entry for entry in bench.unjudged if entry[:2] in known]


def packed(data: dict[str, Any]) -> str:
    """JSON, gzip, base64; the same data give the same letters."""
    return base64.b64encode(gzip.compress(orjson.dumps(data), compresslevel=9, mtime=0)).decode()


def _query(
    line: dict[str, Any], bench: StoredBench, units: _Numbers, texts: _Numbers, limits: Limits
) -> dict[str, Any]:
    query = line["query_id"]
    shown = [line["systems"].get(name) for name in bench.names]
    hits = []
    for found in shown:
        own = found["hits"][: limits.hits] if found else []
        hits.append(
            [
                [units.of(hit["unit"]), _text_of(found["side"], hit, bench, texts), round(hit["score"], 4)]
                for hit in own
            ]
        )
    wanted = dict.fromkeys(at for own in hits for at, _, _ in own)
    wanted.update(dict.fromkeys(units.of(unit) for unit, grade in line["judged"].items() if grade > 0))
    names = list(units.at)
    return {
        "id": query,
        "text": line["text"],
        "waiting": bench.judged and not line["judged"],
        "values": [_values(bench, name, line) for name in bench.names],
        "judged": [[at, line["judged"][names[at]]] for at in wanted if names[at] in line["judged"]],
        "byModels": [at for at in wanted if names[at] in line.get("by_models", {})],
        "hits": hits,
        "ranks": [[at, *_ranks(bench, line, names[at])] for at in wanted],
    }


def _text_of(side: int, hit: dict[str, Any], bench: StoredBench, texts: _Numbers) -> int | None:
    """Position of the hit's text; None where nobody knows it."""
    key = side, hit["chunk_id"]
    return texts.of(key) if key in bench.texts else None


def _pair(bench: StoredBench) -> list[int]:
    """Positions of the two systems that are shown first: those of the headline."""
    if not bench.judged:
        return sorted(bench.pair)
    question = asked(bench)
    return [bench.names.index(question.old), bench.names.index(question.new)] if question else [0, 0]


def _judging(bench: StoredBench) -> dict[str, Any]:
    """What ``outlook.js`` needs to say how the comparison stands."""
    return {
        "pair": list(bench.pair),
        "level": level_of(len(bench.names) - 1),
        "highest": highest_grade(line["judged"] for line in bench.queries),
        "leastLeads": LEAST_LEADS,
        "soFar": SO_FAR,
        "words": WORDS,
    }


def _values(bench: StoredBench, system: str, line: dict[str, Any]) -> list[float | None]:
    query = line["query_id"]
    if not bench.judged:
        first, own = (
            [hit["unit"] for hit in line["systems"][name]["hits"]] for name in (bench.names[0], system)
        )
        return [round(overlap(first, own, SAME_RANKS), 4)]
    found = bench.values.get(system, {}).get(query, {})
    return [found.get(measure) for measure in bench.measures]


def _ranks(bench: StoredBench, line: dict[str, Any], unit: str) -> Iterator[int]:
    """In every system; 0 where it did not come up."""
    for name in bench.names:
        whole = bench.ranks.get(name)
        if whole is not None:
            yield whole.get(line["query_id"], {}).get(unit, 0)
            continue
        shown = line["systems"].get(name, {"hits": [], "ranks_of_relevant": {}})
        order = {hit["unit"]: rank for rank, hit in enumerate(shown["hits"], start=1)}
        yield shown["ranks_of_relevant"].get(unit, order.get(unit, 0))


def _side(system: str, bench: StoredBench) -> int:
    return next((line["systems"][system]["side"] for line in bench.queries if system in line["systems"]), 0)


def _text(line: dict[str, Any], contents: _Numbers) -> list[Any]:
    """Content, chunk id, pages, chunks with this text, tokens; two sides may share a content."""
    return [contents.of(line["text"]), line["chunk_id"], line["pages"], line["chunks"], line["tokens"]]
