"""Terms of a page in one line each, and where they stand in its sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

from qembed.report.stored import StoredBench

_MEASURES = {
    "nDCG": "Quality of the first {k} results, from 0 to 1: right results count more the higher they stand.",
    "recall": "Share of all relevant items that are among the first {k} results.",
    "MRR": "1 divided by the rank of the first right result, 0 beyond the first {k}; its mean.",
    "P": "Share of the first {k} results that are relevant.",
}


def glossary(bench: StoredBench) -> list[tuple[str, str]]:
    """Term and meaning: the measure, interval, verdict, unjudged, reranking."""
    return list(_terms(bench))


def _terms(bench: StoredBench) -> Iterator[tuple[str, str]]:
    name, _, k = bench.primary.partition("@")
    known = _MEASURES.get(name, "A measure of the first {k} results; higher is better.")
    yield bench.primary, known.format(k=k or "retrieved")
    yield (
        "95 % interval",
        "Where the true value lies, as far as so many questions can say. One of a difference that holds 0 "
        "shows nothing.",
    )
    margin = bench.document["options"]["margin"]
    yield (
        "cannot tell",
        f"Neither a difference is shown, nor that it is smaller than {margin:g}, the margin that matters. "
        "More questions may tell.",
    )
    yield "unjudged", "Nobody has said whether the result is relevant. It counts as not relevant."
    if bench.document["frontiers"]:
        yield (
            "rerank",
            "Sort the first results again with a slower and more precise model.",
        )


def marked(text: str, terms: list[tuple[str, str]]) -> Markup:
    """The text with each term's first place marked, so that its meaning is shown on hover."""
    html = str(escape(text))
    for term, meaning in terms:
        pattern = re.compile(rf"(?<![\w@])({re.escape(str(escape(term)))}\w*)", re.IGNORECASE)
        html = pattern.sub(rf'<abbr title="{escape(meaning)}">\1</abbr>', html, count=1) if html else html
    return Markup(html)
