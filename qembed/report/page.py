"""One HTML file that needs nothing else: templates, style, scripts, data, and a policy that says so."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from qembed import __version__
from qembed.report import asked, first, glossary, pictures, tables, unjudged, verdicts
from qembed.report.charts import bench_charts
from qembed.report.embedding import Checked, Embedding, told_apart
from qembed.report.explorer import STEPS, Limits, explorer_data, packed
from qembed.report.provenance import provenance_table, repeat_commands
from qembed.report.stored import StoredBench
from qembed.shell import shell_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LIMIT_BYTES = 8_000_000
"""What a page may have; beyond it, texts are shortened and fewer results shown."""


def bench_page(
    bench: StoredBench,
    embeddings: Sequence[Embedding] = (),
    checked: Sequence[Checked] = (),
    *,
    links: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> str:
    """The page of one bench.

    Args:
        bench: As it was stored.
        embeddings: The runs that made its vectors, where they are known.
        checked: Audits and verifications of those.
        links: Address of a page of the corpus, with ``{page}`` in it.
        limit_bytes: What it may have; the first of ``explorer.STEPS`` that fits is taken, else the last.
    """
    charts = bench_charts(bench) if bench.judged else []
    values = {
        **(_judged(bench) if bench.judged else unjudged.first_screen(bench)),
        "kind": "Which search is better?",
        "created": bench.document["created"][:10],
        "eval_set": bench.document["eval_set"],
        "charts": charts,
        "embeddings": told_apart(embeddings),
        "checked": checked,
        "steps": repeat_commands(bench, list(embeddings)),
        "provenance": provenance_table(bench, list(embeddings)),
        "texts": bool(bench.texts),
    }
    template = "bench.html.j2" if bench.judged else "unjudged.html.j2"
    scripts = ("charts.js", "tables.js", "explorer.js", "outlook.js", "judge.js", "start.js")
    page = ""
    for limits, cut in _steps(bench):
        data = packed(explorer_data(bench, limits, links=links))
        page = render(
            template,
            scripts,
            explorer_data=data,
            cut=limits if cut else None,
            **values,
        )
        if len(page.encode()) <= limit_bytes:
            break
    return page


def _judged(bench: StoredBench) -> dict[str, Any]:
    """Verdicts, and what they rest on."""
    return {
        **_first_screen(bench),
        "primary": bench.primary,
        "answers": verdicts.in_order(verdicts.answers(bench)),
        "basis": verdicts.basis(bench),
        "answerability": verdicts.answerability(bench),
        "findings": [finding for finding in bench.document["findings"] if finding["lost"] != "nothing"],
        "quality": tables.quality_table(bench),
        "time": tables.time_table(bench),
        "comparisons": tables.comparison_table(bench),
    }


def _first_screen(bench: StoredBench) -> dict[str, Any]:
    """What a reader sees without scrolling, and the two pictures below it."""
    question = asked.asked(bench)
    title = asked.headline(bench, question)
    terms = glossary.glossary(bench)

    def said(words: Iterable[str]) -> list[Markup]:
        return [glossary.marked(text, terms) for text in words]

    return {
        "title": f"{bench.document['eval_set']['name']}: {title}",
        "headline": title,
        "question": question,
        "gates": tables.gate_table(bench),
        "gates_passed": bench.document["passed"],
        "level": said(first.level(bench, question)),
        "advice": [(name, glossary.marked(words, terms)) for name, words in asked.advice(bench)],
        "cautions": said(first.cautions(bench, question)),
        "judging": list(first.judging(bench)),
        "failures": list(first.failures(bench, question)),
        "times": first.times(bench, question),
        "loaded": first.loaded(bench),
        "forest": pictures.bench_forest(bench),
        "pareto": pictures.quality_and_time(bench),
        "glossary": terms,
    }


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """A template with style, scripts and the policy that allows exactly these.

    Args:
        template: Its name.
        scripts: Names of files beside it, put into one script.
        values: For the template; every string is escaped.
    """
    style = _read("templates/page.css")
    script = "\n".join(_read(f"templates/{name}") for name in scripts)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=_markup(style),
            script=_markup(script),
            version=__version__,
            **values,
        )
    )


def _steps(bench: StoredBench) -> Iterator[tuple[Limits, bool]]:
    """The limits that make a difference to this bench, and whether they leave anything out."""
    longest = max((len(line["text"]) for line in bench.texts.values()), default=0)
    most = max((len(found["hits"]) for line in bench.shown for found in line["systems"].values()), default=0)
    seen = set()
    for limits in STEPS:
        kept = min(limits.hits, most), min(limits.characters, longest)
        if kept not in seen:
            seen.add(kept)
            yield limits, kept != (most, longest)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return files("qembed.report").joinpath(name).read_text(encoding="utf-8")


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("qembed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shell"] = lambda words: shell_line(*words)
    return made
