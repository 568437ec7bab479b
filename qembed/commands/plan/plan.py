"""``plan``: what a run would take on a device, which need not be here, and what to choose. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qembed.commands.plan.corpus import ESTIMATE_SPREAD, CorpusFacts, corpus_facts, token_counter
from qembed.commands.plan.limits import Disk, Kaggle, Rule, disk_of, kaggle_of, rule_of
from qembed.corpus import CorpusOptions
from qembed.corpus.statistics import Distribution, describe
from qembed.engine.batching import clip
from qembed.engine.planning.candidates import Candidate, Limits
from qembed.engine.planning.choice import choose
from qembed.engine.planning.decide import timed
from qembed.engine.planning.facts import ModelFacts, model_facts
from qembed.engine.planning.memory import attention_kernels
from qembed.engine.planning.presets import Device, find_device
from qembed.engine.planning.speed import Span, other_seconds
from qembed.engine.windows import WINDOW_TEXTS
from qembed.errors import UsageError
from qembed.models import DEFAULT_MODEL, prompts_of, resolve_model
from qembed.progress import Progress
from qembed.records import Lengths


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What ``plan`` is asked for.

    Attributes:
        corpus: How the chunks are read.
        precision: The only one to work out; all when ``auto``.
        shard: Only one worker over all devices.
        max_batch: Largest batch in texts; the device's default for large models when None.
        token_budget: Largest batch in padded tokens; by device when None.
        buffer_bytes: Left free on each device. None: 2 GB, or less where the model needs it.
        max_length: Tokens read of each text; what the model was published with when None.
        truncate_dim: Dimensions kept; all when None.
        revision: Commit, tag or branch on the hub.
        model_bytes: For the rule of thumb: memory that the loaded model takes; needs ``chunk_bytes``.
        chunk_bytes: For the rule of thumb: memory per chunk of a batch.
    """

    corpus: CorpusOptions = CorpusOptions()
    precision: str = "auto"
    shard: bool = False
    max_batch: int | None = None
    token_budget: int | None = None
    buffer_bytes: int | None = None
    max_length: int | None = None
    truncate_dim: int | None = None
    revision: str | None = None
    model_bytes: float | None = None
    chunk_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """The corpus as the model reads it.

    Attributes:
        collection: Its name.
        chunks: In all.
        unique_texts: Embedded once each.
        tokens: Tokens of the unique texts, as the model reads them.
        max_tokens: What the model reads of a text.
        truncated_texts: Unique texts that are longer.
        tokens_from: How tokens were counted.
        estimated: Whether that is an estimate.
        tokens_range: Range of the total.
        findings: What could not be read.
    """

    collection: str
    chunks: int
    unique_texts: int
    tokens: Distribution
    max_tokens: int
    truncated_texts: int
    tokens_from: str
    estimated: bool
    tokens_range: tuple[int, int]
    findings: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would take.

    Attributes:
        model: Figures of the model.
        device: The device.
        corpus: The corpus.
        candidates: Every precision worked out, the widest first.
        chosen: The one that ``embed`` takes by itself; None where none fits.
        why: What the user should know of the choice; empty where it is the obvious one.
        remedy: What would fit; empty where something does.
        other_seconds: Best and worst time of all that is not encoding, by what it is.
        seconds: Best and worst time of all of it; None where nothing is known.
        disk: Bytes on disk.
        kaggle: Kaggle's limits.
        rule: The rule of thumb with the user's figures.
        check: The command that checks the quality of the chosen precision; empty where none is needed.
        notes: What the user should know.
    """

    model: ModelFacts
    device: Device
    corpus: Corpus
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    why: str
    remedy: str
    other_seconds: dict[str, Span]
    seconds: Span | None
    disk: Disk
    kaggle: Kaggle
    rule: Rule | None
    check: str
    notes: tuple[str, ...]


def plan(
    input: Path,
    *,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    options: PlanOptions = PlanOptions(),
    progress: Progress = Progress(),
) -> Plan:
    """Work out memory, batches, time and disk for a corpus; neither the device nor the weights are needed.

    Args:
        input: A folder of chunk files, or one file.
        model: A folder, a hub id, or a name of the catalog.
        device: A preset (``t4``, ``p100``, ``l4``, ``a100``, ``h100``), several as in ``t4x2``, ``cpu``, or
            ``auto`` for what is here.
        options: See ``PlanOptions``.
        progress: Receives the progress of reading.

    Raises:
        InputNotFound: No chunk could be read.
        DuplicateIds: Two chunks have one id.
        ModelUnreachable: The catalog does not know the model, and it is neither here nor on the hub.
        UsageError: No such device, or options that do not fit.
    """
    _check(options)
    source = resolve_model(model, revision=options.revision)
    hardware = find_device(device)
    facts = model_facts(source)
    max_tokens = _max_tokens(facts, options)
    counter = token_counter(source, facts.architecture.vocabulary, prompts_of(source).document)
    try:
        corpus = corpus_facts(Path(input), options.corpus, counter, progress)
    finally:
        progress.close()
    notes: list[str] = []
    read = clip(corpus.lengths, max_tokens)
    limits = Limits(
        options.buffer_bytes, options.max_batch, options.token_budget, options.precision, options.shard
    )
    choice = choose(facts, hardware, int(read.max()), limits, note=notes.append)
    decision = timed(choice.decision, choice.model, hardware, read)
    chosen = decision.chosen and _widened(decision.chosen, corpus.estimated)
    disk = disk_of(corpus, min(options.truncate_dim or facts.dimensions, facts.dimensions), int(read.sum()))
    other = other_seconds(
        published_bytes=facts.published_bytes,
        download=source.path is None,
        workers=chosen.workers if chosen else 1,
        first_tokens=int(read[:WINDOW_TEXTS].sum()),
        written_bytes=disk.jsonl,
    )
    seconds = _total(chosen, other)
    return Plan(
        model=facts,
        device=hardware,
        corpus=_corpus(corpus, read, max_tokens),
        candidates=tuple(_widened(each, corpus.estimated) for each in decision.candidates),
        chosen=chosen,
        why=decision.why,
        remedy="" if chosen else choice.what_would(),
        other_seconds=other,
        seconds=seconds,
        disk=disk,
        kaggle=kaggle_of(seconds, disk),
        rule=_rule(hardware, options, limits),
        check="qembed verify" if chosen and chosen.precision != "fp32" else "",
        notes=(*facts.notes, *_notes(hardware, facts, chosen), *notes),
    )


def _check(options: PlanOptions) -> None:
    if (options.model_bytes is None) != (options.chunk_bytes is None):
        raise UsageError("--model-gb and --chunk-gb belong together", remedy="give both, or neither")


def _max_tokens(facts: ModelFacts, options: PlanOptions) -> int:
    positions = facts.architecture.positions
    if options.max_length is not None and options.max_length > positions:
        raise UsageError(
            f"--max-length {options.max_length} does not fit this model", remedy=f"give {positions} or less"
        )
    return options.max_length or facts.max_tokens


def _corpus(corpus: CorpusFacts, read: Lengths, limit: int) -> Corpus:
    total = int(read.sum())
    spread = ESTIMATE_SPREAD if corpus.estimated else 0.0
    return Corpus(
        collection=corpus.collection,
        chunks=corpus.chunks,
        unique_texts=len(read),
        tokens=describe(read),
        max_tokens=limit,
        truncated_texts=int((corpus.lengths > limit).sum()),
        tokens_from=corpus.tokens_from,
        estimated=corpus.estimated,
        tokens_range=(int(total * (1 - spread)), int(total * (1 + spread))),
        findings=corpus.findings,
    )


def _notes(device: Device, facts: ModelFacts, chosen: Candidate | None) -> list[str]:
    notes = [f"{device.name}: {device.note}"] if device.note else []
    shape = facts.architecture
    if "math" in attention_kernels(shape, device.capability, chosen.precision if chosen else "fp16"):
        heads = f"{shape.kv_heads} key heads for {shape.heads} query heads"
        notes.append(
            f"a batch without padding may take torch's math kernel on this card ({heads}): "
            "the memory is planned for that, the speed is not"
        )
    return notes


def _widened(candidate: Candidate, estimated: bool) -> Candidate:
    """The same with a wider range of seconds where the tokens are an estimate."""
    if candidate.seconds is None or not estimated:
        return candidate
    best, worst = candidate.seconds
    return replace(candidate, seconds=(best * (1 - ESTIMATE_SPREAD), worst * (1 + ESTIMATE_SPREAD)))


def _total(chosen: Candidate | None, other: dict[str, Span]) -> Span | None:
    if chosen is None or chosen.seconds is None:
        return None
    spans = [chosen.seconds, *other.values()]
    return sum(span[0] for span in spans), sum(span[1] for span in spans)


def _rule(device: Device, options: PlanOptions, limits: Limits) -> Rule | None:
    if options.model_bytes is None or options.chunk_bytes is None:
        return None
    return rule_of(
        device.memory_bytes,
        options.model_bytes,
        limits.wanted_buffer_bytes,
        options.chunk_bytes,
        options.max_batch or device.max_batch,
    )
