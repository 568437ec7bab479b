"""How a plan looks: the verdict, every precision side by side, then every term."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qembed.shell import shell_line

if TYPE_CHECKING:
    from qembed.commands.plan.plan import Plan
    from qembed.engine.planning.candidates import Candidate
    from qembed.terminal.output import Column

_LINE_WIDTH = 76
_ASSUMED = {
    "download": "assumed 20 to 200 MB/s",
    "start-up": "importing the libraries and opening the devices; assumed",
    "loading": "assumed 0.1 to 1 GB/s from the disk",
    "tokenising": "what is not hidden behind the devices; assumed",
    "writing": "what is not hidden behind the devices; assumed",
}


def show(planned: Plan, line: Sequence[str]) -> None:
    """Print the plan, for people."""
    from qembed.terminal.output import console

    out = console()
    for text in _verdict(planned, line):
        out.print(text, markup=False, soft_wrap=text.startswith("  "))
    out.print()
    out.print("[bold]Every precision[/bold]")
    out.print(_comparison(planned))
    out.print("weights: GB; room: GB left for a batch; batch: texts of the longest kind in one", style="dim")
    for title, rows in _sections(planned):
        out.print(title, style="bold")
        out.print(_rows(rows))


def columns(planned: Plan) -> list[Column[Candidate]]:
    """What CSV and Markdown say of a precision."""
    from qembed.terminal.output import Column, quantity

    return [
        Column("chosen", lambda each: each == planned.chosen),
        Column("precision", lambda each: each.precision),
        Column("workers", lambda each: each.workers, quantity),
        Column("sharded", lambda each: each.sharded),
        Column("fit", lambda each: each.fit),
        Column("weights_bytes", lambda each: each.weights_bytes, quantity),
        Column("room_bytes", lambda each: each.room_bytes, quantity),
        Column("safe_tokens", lambda each: each.safe_tokens, quantity, detail=True),
        Column("budget_tokens", lambda each: each.budget_tokens, quantity),
        Column("batch_at_longest", lambda each: each.batch_at_longest, quantity),
        Column("batch_at_median", lambda each: each.batch_at_median, quantity, detail=True),
        Column("batches", lambda each: each.batches, quantity, detail=True),
        Column("padding_waste", lambda each: each.padding_waste, "{:.1%}".format, detail=True),
        Column("least_seconds", lambda each: each.seconds and each.seconds[0], _seconds),
        Column("most_seconds", lambda each: each.seconds and each.seconds[1], _seconds),
        Column("measured", lambda each: each.measured, detail=True),
        Column("reason", lambda each: each.reason),
    ]


def _verdict(planned: Plan, line: Sequence[str]) -> Iterator[str]:
    from qembed.models.resolve import label_of
    from qembed.terminal.output import quantity

    chosen, corpus, device = planned.chosen, planned.corpus, planned.device
    texts = f"{quantity(corpus.unique_texts)} unique texts of {quantity(corpus.chunks)} chunks"
    if chosen is None:
        yield f"{label_of(planned.model.id)} does not run on {device.label} as asked for."
        yield f"Next: {planned.remedy}."
        return
    workers = "1 worker" if chosen.workers == 1 else f"{chosen.workers} workers, one on each"
    how = "one worker over all cards" if chosen.sharded else workers
    yield f"{label_of(planned.model.id)} in {chosen.precision} on {device.label}, {how}."
    time = f"{_span(planned.seconds)} in all" if planned.seconds else "time unknown until measured"
    yield f"{texts}: {time}."
    if planned.why:
        yield planned.why
    yield from _shell_lines(line)
    if planned.check:
        yield f"{planned.check} measures how far {chosen.precision} vectors are from those of fp32."


def _shell_lines(line: Sequence[str]) -> Iterator[str]:
    """A command over several lines, so that it can be copied whole from 80 columns."""
    shown = " "
    for word in map(shell_line, line):
        if len(shown) + len(word) > _LINE_WIDTH and shown.strip():
            yield shown + " \\"
            shown = "     "
        shown += " " + word
    yield shown


def _comparison(planned: Plan) -> Any:
    from qembed.terminal.output import table

    rows = table("", "", "workers", ">weights", ">room", ">batch", ">encoding", "")
    for each in planned.candidates:
        runs = each.fit != "no"
        rows.add_row(
            ">" if each == planned.chosen else "",
            each.precision,
            "1 on all" if each.sharded else str(each.workers),
            f"{each.weights_bytes / 1e9:.2f}",
            f"{each.room_bytes / 1e9:.2f}" if each.room_bytes > 0 else "-",
            str(each.batch_at_longest) if runs else "-",
            _span(each.seconds) if runs else "-",
            each.reason if runs else f"no: {each.reason}",
        )
    return rows


def _rows(rows: list[tuple[str, str]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(justify="right", no_wrap=True)
    made.add_column(overflow="fold")
    for number, text in rows:
        made.add_row(number, escape(text))
    made.add_row()
    return made


def _sections(planned: Plan) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    best = planned.chosen
    if best is not None:
        yield f"Memory of a device in {best.precision}", _memory(planned, best)
    if planned.rule is not None:
        rule = planned.rule
        terms = f"({_gb(rule.memory_bytes)} - {_gb(rule.model_bytes)} - {_gb(rule.buffer_bytes)})"
        cap = f", capped to {rule.capped}" if rule.capped < rule.texts else ""
        yield (
            "Rule of thumb with your figures",
            [(str(rule.texts), f"texts = {terms} / {_gb(rule.chunk_bytes)} per chunk{cap}")],
        )
    yield "Corpus", _corpus(planned)
    if best is not None:
        yield "Batches and time", _batches(planned, best)
    yield "Disk and Kaggle", _disk(planned)
    if planned.notes:
        yield "Notes", [("-", note) for note in planned.notes]


def _memory(planned: Plan, best: Candidate) -> list[tuple[str, str]]:
    from qembed.terminal.output import quantity

    forward, corpus = best.forward, planned.corpus
    source = "measured here before" if best.measured else planned.model.figures_from
    rows = [
        (_gb(planned.device.memory_bytes), f"one {planned.device.reported}"),
        (f"-{_gb(best.weights_bytes)}", f"weights ({source})"),
        (f"-{_gb(best.context_bytes)}", "CUDA context"),
        (f"-{_gb(best.buffer_bytes)}", "left free (--memory-buffer)"),
    ]
    if forward.fixed:
        rows.append((f"-{_gb(forward.fixed)}", "one matrix unpacked to fp16"))
    rows.append((f"={_gb(best.room_bytes)}", "for one batch, without logits"))
    kilobytes = [f"{_kb(forward.states_per_token)} states of a layer"]
    if forward.mask_per_token:
        kilobytes.append(f"{_kb(forward.mask_per_token)} attention mask")
    if forward.scores_per_token:
        kilobytes.append(f"{_kb(forward.scores_per_token)} more for the score matrices of all heads")
    kernel = f"{best.attention} attention, at {quantity(corpus.tokens.max)} tokens"
    rows.append((_kb(forward.per_token), f"per padded token: {', '.join(kilobytes)} ({kernel})"))
    chunk = forward.per_token * corpus.tokens.max
    rows.append((_gb(chunk), f"a text of {quantity(corpus.tokens.max)} tokens, the longest"))
    capped = best.batch_at_longest < best.safe_tokens // corpus.tokens.max
    rows.append(
        (
            quantity(best.safe_tokens),
            f"padded tokens fit into a batch, {quantity(best.budget_tokens)} are planned",
        )
    )
    texts = f"texts of that length would fit into a batch; {best.batch_at_longest} are planned"
    why = f" (at most {best.max_batch} texts per batch)" if capped and best.max_batch else ""
    rows.append((quantity(best.safe_tokens // corpus.tokens.max), texts + why))
    return rows


def _corpus(planned: Plan) -> list[tuple[str, str]]:
    from qembed.terminal.output import quantity, share

    corpus, sizes = planned.corpus, planned.corpus.tokens
    copies = corpus.chunks - corpus.unique_texts
    rows = [
        (quantity(corpus.chunks), f"chunks, {share(copies, corpus.chunks)} are exact duplicates of another"),
        (quantity(corpus.unique_texts), "unique texts, encoded once each"),
        (
            quantity(sizes.total),
            f"tokens: median {sizes.p50}, 95th percentile {sizes.p95}, longest {sizes.max}",
        ),
        (quantity(corpus.truncated_texts), f"texts are truncated to {quantity(corpus.max_tokens)} tokens"),
    ]
    if corpus.estimated:
        low, high = map(quantity, corpus.tokens_range)
        rows.append(
            (
                "!",
                f"an ESTIMATE, {low} to {high}: from {corpus.tokens_from}; the model's tokenizer is not here",
            )
        )
    if corpus.findings:
        rows.append((quantity(corpus.findings), "findings: not read (qembed inspect lists them)"))
    return rows


def _batches(planned: Plan, best: Candidate) -> list[tuple[str, str]]:
    from qembed.terminal.output import quantity

    device = planned.device
    rows = [
        (
            quantity(best.batches),
            f"batches, {best.padding_waste:.1%} padding; {best.batch_at_median} texts of median length each",
        ),
        *(
            (_span(seconds), f"{what} ({_ASSUMED[what]})")
            for what, seconds in planned.other_seconds.items()
            if seconds[1] >= 1
        ),
    ]
    if best.measured:
        rows.append((_span(best.seconds), "encoding, from what was measured here"))
        return rows
    if best.seconds is None:
        return rows
    peak = device.tflops["fp16" if best.precision in ("int8", "nf4") else best.precision]
    low, high = device.efficiency
    rows.append((_span(best.seconds), "encoding: 2 operations per weight and token, and attention, on"))
    assumed = f"{peak:g} TFLOP/s, of which {low:.0%} to {high:.0%} are reached (assumed)"
    if best.precision in ("int8", "nf4"):
        from qembed.engine.planning.speed import QUANTISED_SPEED

        slow, fast = QUANTISED_SPEED[best.precision]
        assumed += f", {best.precision} at {slow:.0%} to {fast:.0%} of fp16 (assumed)"
    rows.append(("", assumed))
    return rows


def _disk(planned: Plan) -> list[tuple[str, str]]:
    from qembed.terminal.output import file_size

    disk, kaggle = planned.disk, planned.kaggle
    others = f"{file_size(disk.parquet)} as Parquet or npy"
    rows = [
        (file_size(disk.jsonl), f"as JSONL, {others}; {disk.dimensions:,} dimensions"),
        (file_size(disk.work), "more while it runs"),
    ]
    hours = {
        "yes": "one session of 12 h is enough",
        "perhaps": f"takes up to {kaggle.sessions} sessions of 12 h (--time-limit 11h, then again)",
        "no": f"takes {kaggle.sessions} sessions of 12 h (--time-limit 11h, then again)",
        "unknown": "whether one session of 12 h is enough is unknown",
    }
    room = "20 GB of disk are enough" if kaggle.disk == "yes" else "20 GB of disk are too little for JSONL"
    rows.append(("Kaggle", f"{hours[kaggle.hours]}; {room}"))
    return rows


def _span(seconds: tuple[float, float] | None) -> str:
    """A range of time: ``4 to 14 min``."""
    if seconds is None:
        return "unknown"
    if seconds[1] < 1:
        return "under 1 s"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, float("inf"))):
        if seconds[1] < limit:
            low, high = (f"{value / size:.2g}" for value in seconds)
            if unit == "h":
                low, high = (f"{value / size:,.1f}" for value in seconds)
            elif seconds[1] / size >= 10:
                low, high = (f"{value / size:.0f}" for value in seconds)
            return f"{low} to {high} {unit}" if low != high else f"{high} {unit}"
    raise AssertionError


def _seconds(value: float) -> str:
    return f"{value:,.1f}"


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def _kb(count: float) -> str:
    return f"{count / 1e3:,.1f} kB"
