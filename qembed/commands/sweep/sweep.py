"""``sweep``: do shorter or quantised vectors rank as well as the full ones, on judged queries?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from qembed.errors import UsageError
from qembed.evaluation.diagnose.agreement import overlap
from qembed.evaluation.diagnose.variants import KINDS, QUANTILE, Form, Kind, forms, search
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.measures import Measure, deciding_measure
from qembed.evaluation.retrieve.depth import results_for, retrieve
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.compare import Comparison, Estimate, compare_family, mean_interval
from qembed.evaluation.systems.judged import Judged, ask, describe_judged, load_judged
from qembed.evaluation.systems.measured import check_settings
from qembed.evaluation.systems.side import SideOptions, describe_side
from qembed.evaluation.systems.values import frame_of
from qembed.models import EncoderOptions
from qembed.models.catalog import find_model
from qembed.progress import Progress
from qembed.records import Run
from qembed.store import USUAL, Keys, environment

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "qembed.sweep/2"
USUAL_DIMS: Final = (2048, 1024, 512, 256, 128, 64)
"""What vectors of a model are cut to that the catalog does not know as trained for certain dimensions."""
_MOST_DIMS = 4


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Which forms are tried, and how they are compared with the full vectors.

    Attributes:
        dims: To cut to; when None those that the model was trained for, else the usual ones.
        kinds: Kinds of numbers, besides float32.
        oversample: int8 and binary also with rescoring of that many times the results; 0 for without.
        combine: Every kind in every dimension.
        measure: What decides.
        margin: Differences below it do not matter.
        resamples: Number of resamples of the bootstrap and of the randomisation test.
        seed: Random seed of both.
        split: Split of the eval set; the card's own when None.
        model: Encodes the queries; needed only where no manifest says which made the vectors.
        query_vectors: A file of embeddings whose ids are query ids, instead of the model.
        encoder: Device, precision and trust of the model.
        keys: What the user says about the keys of foreign records.
    """

    dims: tuple[int, ...] | None = None
    kinds: tuple[Kind, ...] = ("fp16", "int8", "binary")
    oversample: int = 4
    combine: bool = False
    measure: str = "nDCG@10"
    margin: float = 0.01
    resamples: int = 10_000
    seed: int = 0
    split: str | None = None
    model: str | None = None
    query_vectors: Path | None = None
    encoder: EncoderOptions = EncoderOptions()
    keys: Keys = USUAL


@dataclass(frozen=True, slots=True)
class Variant:
    """A form with its numbers.

    Attributes:
        form: Which.
        compression: Bytes of the full float32 vector over its own.
        estimate: The measure's mean over queries.
        comparison: Against the full vectors; None for these.
        overlap: Share of the first ``k`` texts that the full vectors find too, mean over all queries.
    """

    form: Form
    compression: float
    estimate: Estimate
    comparison: Comparison | None
    overlap: float


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        options: What was asked for.
        judged: Queries, judgements and vectors.
        measure: What decides.
        k: Its cutoff, 10 where it has none: where overlap is counted, and what rescoring multiplies.
        depth: Judged units retrieved per query.
        variants: The full vectors first.
        values: Query id -> its value in each variant, by name; NaN where nothing answers it.
        notes: What should be known of the model and its dimensions.
        created: UTC time, ISO 8601.
        seconds: Wall time.
    """

    options: SweepOptions
    judged: Judged
    measure: Measure
    k: int
    depth: int
    variants: tuple[Variant, ...]
    values: pd.DataFrame
    notes: tuple[str, ...]
    created: str
    seconds: float

    @property
    def smallest_equivalent(self) -> Variant | None:
        """The fewest bytes that are equivalent within the margin; of equal ones that without rescoring."""
        found = [one for one in self.variants if one.comparison and one.comparison.verdict == "equivalent"]
        return min(found, key=lambda one: (one.form.bytes, one.form.rescoring_bytes), default=None)


def sweep(
    embeddings: Path | str,
    eval_set: Path,
    options: SweepOptions = SweepOptions(),
    *,
    progress: Progress = Progress(),
) -> SweepResult:
    """Hold cheaper forms of stored vectors against the full ones, by exact search on judged queries.

    Nothing is written, no text is embedded again. Memory: three times the distinct vectors.

    Args:
        embeddings: The file (JSON lines, Parquet or npy; any shard means all), the folder it lies in, or the
            address of a collection on a server, whose vectors are read.
        eval_set: A folder in BEIR's layout, with or without a card.
        options: Which forms.
        progress: Receives the progress of every phase.

    Raises:
        UsageError: An option or a measure that cannot be, or an eval set without a relevant item.
        InputNotFound: No embeddings or no eval set there.
        ModelUnreachable: The model that encodes queries is neither here nor on the hub.
        Mismatch: Vectors, model and eval set do not fit together.
    """
    started = perf_counter()
    _check(options)
    measure = deciding_measure(options.measure)
    loaded = load_judged(Path(eval_set), options.split)
    k = measure.cutoff or 10
    results, texts = results_for([measure]), k * max(1, options.oversample)
    side = SideOptions(
        embeddings, options.model, options.query_vectors, "exact", options.encoder, keys=options.keys
    )
    try:
        judged = ask(loaded, side, results=results, texts=texts, progress=progress)
        if judged.side.index.similarity != "cosine":
            raise UsageError(
                "these vectors compare by their dot product, and a sweep compares by the cosine",
                where=str(judged.side.path),
                remedy="qembed embed --normalize makes vectors for the cosine",
            )
        model = describe_side(judged.side)["model"]
        dimension = judged.side.collection.dimension
        dims = options.dims or default_dims(dimension, model)
        _check_dims(dims, dimension)
        tried = forms(dimension, dims, options.kinds, oversample=options.oversample, combine=options.combine)
        found = _search(judged, tried, k, texts, progress)
    finally:
        progress.close()
    values = _values(judged, found, measure)
    return SweepResult(
        options=options,
        judged=judged,
        measure=measure,
        k=k,
        depth=min(results, len(judged.side.units.texts_of)),
        variants=_variants(tried, found, values, k, options, loaded.groups),
        values=values,
        notes=_notes(dims, dimension, model),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=perf_counter() - started,
    )


def default_dims(dimension: int, model: str | None) -> tuple[int, ...]:
    """Smaller dimensions that the model was trained for, else the usual ones; at most four.

    Args:
        dimension: Dimension of the stored vectors.
        model: The hub's id, where it is known.
    """
    card = find_model(model) if model else None
    known = card.matryoshka if card and card.matryoshka else USUAL_DIMS
    return tuple(size for size in known if size < dimension)[:_MOST_DIMS]


def as_document(result: SweepResult) -> dict[str, Any]:
    """The result as one JSON document; docs/sweep.md lists its keys."""
    smallest = result.smallest_equivalent
    return {
        "schema": SCHEMA,
        "created": result.created,
        "seconds": round(result.seconds, 3),
        "eval_set": describe_judged(result.judged),
        "vectors": describe_side(result.judged.side),
        "measure": str(result.measure),
        "k": result.k,
        "depth": result.depth,
        "int8_quantile": QUANTILE,
        "variants": [_describe(one) for one in result.variants],
        "smallest_equivalent": smallest.form.name if smallest else None,
        "notes": list(result.notes),
        "values": {
            name: {str(query): None if value != value else value for query, value in column.items()}
            for name, column in result.values.items()
        },
        "options": _plain(asdict(result.options)),
        "environment": environment(),
    }


def _check(options: SweepOptions) -> None:
    unknown = [kind for kind in options.kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"there is no form {unknown[0]!r}", remedy=f"take some of {', '.join(KINDS[1:])}")
    check_settings(options)
    if options.oversample < 0:
        raise UsageError("oversample is at least 0", remedy="0 rescores nothing")


def _check_dims(dims: Sequence[int], dimension: int) -> None:
    wrong = [size for size in dims if not 1 <= size <= dimension]
    if wrong:
        raise UsageError(
            f"the vectors have {dimension:,} dimensions and cannot be truncated to {wrong[0]:,}",
            remedy=f"--dims with numbers from 1 to {dimension}",
        )


def _search(judged: Judged, tried: Sequence[Form], k: int, texts: int, progress: Progress) -> dict[str, Run]:
    """Form by name -> the texts that it finds, deep enough for the measure; scores are minus the rank."""
    side = judged.side
    row_of = {query: at for at, query in enumerate(judged.queries)}
    progress.phase("searching in every form", total=len(tried), unit="forms")
    found = {}
    for form in tried:

        def one(asked: Sequence[str], depth: int, form: Form = form) -> Run:
            queries = side.queries[[row_of[query] for query in asked]]
            rows = search(side.collection.vectors, queries, form, depth=depth, k=k)
            return {
                query: {side.collection.ids[at]: -float(rank) for rank, at in enumerate(line)}
                for query, line in zip(asked, rows.tolist(), strict=True)
            }

        found[form.name] = retrieve(one, list(row_of), side.units, results=side.results, texts=texts)
        progress.advance(1)
    return found


def _values(judged: Judged, found: dict[str, Run], measure: Measure) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            name: frame_of(judged.qrels, judged.side.judged_run(run), [measure])[str(measure)]
            for name, run in found.items()
        }
    )


def _variants(
    tried: Sequence[Form],
    found: dict[str, Run],
    values: pd.DataFrame,
    k: int,
    options: SweepOptions,
    groups: Groups,
) -> tuple[Variant, ...]:
    full = tried[0]
    labels = labels_of(groups, values.index)
    columns = {form.name: values[form.name].to_numpy() for form in tried}
    compared = compare_family(
        {name: column for name, column in columns.items() if name != full.name},
        columns[full.name],
        margin=options.margin,
        resamples=options.resamples,
        seed=options.seed,
        groups=labels,
    )
    return tuple(
        Variant(
            form=form,
            compression=full.bytes / form.bytes,
            estimate=mean_interval(columns[form.name], groups=labels),
            comparison=compared.get(form.name),
            overlap=_overlap(found[form.name], found[full.name], k),
        )
        for form in tried
    )


def _overlap(run: Run, full: Run, k: int) -> float:
    return float(np.mean([overlap(ranked(run[query]), ranked(full[query]), k) for query in full]))


def _notes(dims: Sequence[int], dimension: int, model: str | None) -> tuple[str, ...]:
    cuts = [size for size in dims if size < dimension]
    card = find_model(model) if model else None
    if not cuts:
        return ()
    if card is None:
        name = model or "the model"
        return (f"the catalog does not know whether {name} was trained for shorter vectors (Matryoshka)",)
    untrained = [f"{size:,}" for size in cuts if size not in card.matryoshka]
    if not untrained:
        return ()
    if not card.matryoshka:
        return (f"{card.id} was not trained for shorter vectors (Matryoshka): they lose more",)
    trained = ", ".join(f"{size:,}" for size in card.matryoshka)
    return (f"{card.id} was trained for {trained} dimensions, not for {', '.join(untrained)}",)


def _describe(one: Variant) -> dict[str, Any]:
    return {
        "name": one.form.name,
        "dimension": one.form.dimension,
        "kind": one.form.kind,
        "rescore": one.form.rescore,
        "bytes": one.form.bytes,
        "rescoring_bytes": one.form.rescoring_bytes,
        "compression": one.compression,
        "estimate": asdict(one.estimate),
        "comparison": asdict(one.comparison) if one.comparison else None,
        "overlap": one.overlap,
    }


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
