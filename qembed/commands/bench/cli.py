"""``qembed bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.terminal.options import (
    MARGIN,
    MEASURES,
    QUERY_MODEL,
    QUERY_VECTORS,
    RESAMPLES,
    SEED,
    SOURCE,
    SPLIT,
    AdvancedCommand,
    Form,
    Source,
    key_options,
    model_options,
    output_options,
    store_options,
)

if TYPE_CHECKING:
    from qembed.evaluation.eval_sets.eval_set import EvalSet
    from qembed.progress import Progress

_NEED_JUDGEMENTS = ("measures", "gates", "margin", "split")


class Depths(click.ParamType[tuple[int, ...]]):
    """``10,20,50``: whole numbers of at least 1."""

    name = "depths"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers, ascending, each once."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdigit() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} are no depths; give some like 10,20,50,100", param, ctx)
        return tuple(sorted({int(part) for part in parts}))


@click.command(cls=AdvancedCommand, short_help="Which is better, by how much, and can we tell?")
@SOURCE
@click.option(
    "-e",
    "--eval-set",
    type=click.Path(path_type=Path),
    help="Folder with queries and judgements (BEIR layout), or the name of a bundled one: python_api, "
    "handbook.",
)
@SPLIT
@click.option(
    "-b",
    "--baseline",
    type=Source(path_type=Path),
    help="Other embeddings of the same content to compare: a file, a folder, or qdrant://HOST/COLLECTION.",
)
@click.option(
    "-r",
    "--reranker",
    "rerankers",
    multiple=True,
    metavar="MODEL",
    help="Rerank with this CrossEncoder (id or folder) or with maxsim:MODEL. Repeatable. Without a hub: "
    "maxsim:minilm, and msmarco after `qembed models fetch msmarco`.",
)
@click.option(
    "--depth",
    "depths",
    type=Depths(),
    default="10,20,50,100",
    show_default=True,
    metavar="N,N,...",
    help="Rerank depths. The deepest is scored once; the others are derived from it.",
)
@MEASURES
@click.option(
    "--index",
    type=click.Choice(["auto", "memory", "edge", "exact"]),
    default="auto",
    show_default=True,
    help="Where vectors are searched: in-memory Qdrant, Qdrant's engine in this process, or a matrix "
    "product. auto asks a collection's own server.",
)
@click.option(
    "--hnsw",
    is_flag=True,
    help="Search through a graph, as a Qdrant server does (--index edge), and report what that misses.",
)
@click.option(
    "--bm25/--no-bm25",
    default=True,
    show_default=True,
    help="Add BM25 (k1 1.2, identifiers also in parts) as a system.",
)
@click.option(
    "--bm25-plain", is_flag=True, help="Add BM25 as most libraries have it (k1 1.5, whole words): bm25:plain."
)
@click.option(
    "--fusion/--no-fusion", default=True, show_default=True, help="Add vectors fused with BM25 (RRF)."
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 unless this holds: 'nDCG@10>=0.45', 'recall@100 no worse than baseline', "
    "'fusion: MRR@10>=0.5'. Repeatable.",
)
@MARGIN
@SEED
@RESAMPLES
@click.option(
    "--latency-queries",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Number of queries to time, one by one. 0 times none; p95 needs 100.",
)
@QUERY_MODEL
@click.option("--baseline-model", help="Model that encodes the queries for the baseline.")
@QUERY_VECTORS
@click.option(
    "--baseline-query-vectors",
    type=click.Path(path_type=Path),
    help="File of query vectors for the baseline.",
)
@click.option(
    "--queries",
    type=click.Path(path_type=Path),
    help="Questions that nobody has judged yet, instead of --eval-set: text (one per line), CSV, TSV or "
    "JSON lines.",
)
@store_options
@key_options
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    embeddings: Path | str,
    eval_set: Path | None,
    queries: Path | None,
    reports: Path | None,
    name: str | None,
    quiet: bool,
    form: Form | None,
    **choices: Any,
) -> None:
    """Compare Qdrant alone with reranking, BM25 and other embeddings on judged queries.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; one shard stands for all), its folder, an export of
    Qdrant, or a collection on a server (qdrant://HOST/COLLECTION), whose queries the server answers unless
    --index names another. The first row of the table is Qdrant alone. Every other system is compared with it
    query by query: it is better, worse, equivalent within the margin, or these queries cannot tell. Identical
    texts count as one result. Rerankers see only what retrieval found.

    Exit code 0: done, and every gate holds. 3: a gate does not hold. 4: a model cannot be reached.
    5: vectors, model and eval set do not fit together.

    \b
    Examples:
      qembed bench out/ -e python_api
      qembed bench out/ -e scifact/ -r maxsim:minilm --depth 10,20,50,100
      qembed bench out/ -e my_set/ --baseline old_embeddings.jsonl
      qembed bench out/ -e my_set/ -r cross-encoder/ms-marco-MiniLM-L6-v2
      qembed bench out/ -e my_set/ --measure nDCG@10,recall@100,bpref
      qembed bench out/ -e my_set/ --gate 'nDCG@10>=0.45' --json
      qembed bench new/ --baseline old.jsonl --queries questions.txt -r msmarco
      qembed bench new/ -e set/ -b qdrant://HOST/docs --baseline-model minilm
    """
    from qembed.evaluation.eval_sets.eval_set import unjudged_set
    from qembed.terminal.progress import make_progress

    if (eval_set is None) == (queries is None):
        raise click.UsageError(
            "give --eval-set FOLDER; or --queries FILE, questions that nobody has judged yet"
        )
    chosen: Path | EvalSet
    if queries is None:
        assert eval_set is not None
        chosen = eval_set
    else:
        _refuse_judged_options(ctx)
        chosen = unjudged_set(queries)
    progress = make_progress(quiet=quiet)
    if _bench(embeddings, chosen, reports, name, progress, form=form, **choices):
        ctx.exit(3)


def _refuse_judged_options(ctx: click.Context) -> None:
    """No option is ignored: what needs judgements is refused without them."""
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name in _NEED_JUDGEMENTS:
            raise click.UsageError(
                f"{parameter.opts[0]} needs judgements: judge first (qembed report), then give --eval-set"
            )


def _bench(
    embeddings: Path | str,
    eval_set: Path | EvalSet,
    reports: Path | None,
    name: str | None,
    progress: Progress,
    *,
    form: Form | None,
    measures: tuple[str, ...],
    **choices: Any,
) -> bool:
    """Whether a gate does not hold."""
    from qembed.commands.bench.bench import bench
    from qembed.commands.bench.options import BenchOptions
    from qembed.commands.bench.rows import print_systems
    from qembed.commands.bench.store import as_document, store_bench
    from qembed.commands.bench.unjudged_view import show_unjudged
    from qembed.commands.bench.view import show
    from qembed.evaluation.systems.measured import DEFAULT_MEASURES
    from qembed.store import Keys, explained
    from qembed.terminal.output import print_json

    keys = Keys(text=choices.pop("text_key"), id=choices.pop("id_key"))
    encoder, others = _split(choices)
    options = BenchOptions(measures=measures or DEFAULT_MEASURES, encoder=encoder, keys=keys, **others)
    result = bench(embeddings, eval_set, options, progress=progress)
    folder = None
    try:
        if reports is not None:
            with explained(reports):
                folder = store_bench(result, reports, name)
    finally:  # a full disk does not take the numbers away
        if form == "json":
            print_json({**as_document(result), "folder": str(folder) if folder else None})
        elif form:
            print_systems(result, folder, form)
        elif result.measures:
            show(result, folder)
        else:
            show_unjudged(result, folder)
    return not result.passed


def _split(choices: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The models' options, and the others."""
    from qembed.models import EncoderOptions

    names = ("device", "precision", "revision", "trust_remote_code", "code_revision")
    encoder = EncoderOptions(**{name: choices[name] for name in names})
    return encoder, {name: value for name, value in choices.items() if name not in names}
