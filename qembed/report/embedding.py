"""The embedding run: what ``embed`` stored, and what ``audit`` and ``verify`` printed as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from qembed.errors import InputNotFound, Mismatch
from qembed.models.info import model_words
from qembed.report.chart import Chart
from qembed.report.drawing.data import Axis, Key
from qembed.report.drawing.plots import key, steps
from qembed.report.tables import Cell, Table, cells, counted, numeric
from qembed.report.words import count, duration, file_size, listed, number, percent, plural
from qembed.store import OutputFiles, find_embeddings

_TIME_BINS = 40
_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Embedding:
    """One embedding run as a page shows it.

    Attributes:
        title: Its collection.
        facts: Label and words.
        charts: Throughput.
        tables: Devices, splits, truncation, skipped files.
        command: The command line that made it, where it is known.
        manifest: The whole manifest; None where there is none.
    """

    title: str
    facts: list[tuple[str, str]]
    charts: list[Chart]
    tables: list[Table]
    command: list[str] | None
    manifest: dict[str, Any] | None


def told_apart(embeddings: Sequence[Embedding]) -> list[Embedding]:
    """Several runs, of one collection perhaps: their headings and tables say which of them it is."""
    if len(embeddings) < 2:
        return list(embeddings)
    found = []
    for number_of, one in enumerate(embeddings, start=1):
        which = f"{one.title}, {number_of} of {len(embeddings)}"
        charts = [
            replace(
                chart, table=chart.table and replace(chart.table, caption=f"{chart.table.caption}: {which}")
            )
            for chart in one.charts
        ]
        tables = [replace(table, caption=f"{table.caption}: {which}") for table in one.tables]
        found.append(replace(one, title=which, charts=charts, tables=tables))
    return found


@dataclass(frozen=True, slots=True)
class Checked:
    """What an audit or a verification found.

    Attributes:
        title: Which of the two, of which file.
        holds: Nothing is wrong.
        words: The outcome in a sentence.
        table: Its checks.
    """

    title: str
    holds: bool
    words: str
    table: Table


def read_embedding(path: Path) -> Embedding | None:
    """What is known of a file of embeddings; None where neither summary nor manifest lie beside it.

    Args:
        path: The file, or the folder it lies in.

    Raises:
        Mismatch: The summary or the manifest is no JSON.
    """
    file = find_embeddings(path).path if path.is_dir() else path
    beside = OutputFiles.of(file)
    summary, manifest = _json(beside.summary), _json(beside.manifest)
    if summary is None and manifest is None:
        return None
    command = (manifest or {}).get("environment", {}).get("command")
    if summary is None:
        assert manifest is not None
        return Embedding(manifest["collection"], [], [], [], command, manifest)
    return Embedding(
        summary["collection"],
        list(_facts(summary, manifest)),
        list(_throughput(summary)),
        list(_tables(summary)),
        command,
        manifest,
    )


def read_checked(path: Path) -> Checked:
    """A document that ``qembed audit --json`` or ``qembed verify --json`` printed.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: It is something else.
    """
    document = _json(path)
    if document is None:
        raise InputNotFound(
            "the file does not exist", where=str(path), remedy="qembed audit out/ --json > audit.json"
        )
    match str(document.get("schema", "")).partition("/")[0]:
        case "qembed.audit":
            return _audited(document)
        case "qembed.verify":
            return _verified(document)
    raise Mismatch(
        "this is not what audit or verify print",
        where=str(path),
        remedy="qembed audit out/ --json > audit.json",
    )


def _facts(summary: dict[str, Any], manifest: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    model = summary["model"]
    yield (
        "Model",
        f"{model_words(model)}, {count(summary['vector_dimension'])} dimensions",
    )
    chunks, texts = summary["total_chunks"], summary["unique_texts"]
    yield (
        "Chunks",
        f"{count(chunks)}; {count(chunks - texts)} ({_part(chunks - texts, chunks)}) repeat the text of "
        f"another, so {count(texts)} texts were embedded once",
    )
    lost, tokens = summary["tokens_lost"], summary["total_tokens"]
    yield (
        "Cut",
        f"{count(summary['truncated_chunks'])} chunks are longer than the {count(model['max_tokens'])} "
        f"tokens that the model reads; {count(lost)} of {count(tokens)} tokens ({_part(lost, tokens)}) were "
        "not read",
    )
    phases = ", ".join(f"{name} {duration(value)}" for name, value in summary["phases_seconds"].items())
    yield "Time", f"{duration(60 * summary['processing_time_minutes'])} ({phases})"
    yield (
        "Speed",
        f"{number(summary['texts_per_sec'], 1)} texts and {count(summary['tokens_per_sec'])} tokens per "
        f"second; {percent(summary['padding_waste'])} of what was computed is padding",
    )
    memory = summary["peak_memory"]
    yield (
        "Memory",
        ", ".join(f"{name.removesuffix('_bytes')} {file_size(v)}" for name, v in memory.items()) or "–",
    )
    yield (
        "Batches",
        f"{count(summary['batches'])} of at most {count(summary['token_budget'])} tokens; "
        f"{plural(len(summary['oom_splits']), 'split')} for want of memory; "
        f"{plural(summary['texts_retried_in_fp32'], 'text')} computed again in fp32",
    )
    if manifest:
        yield "Made", f"{manifest['created']} by qembed {manifest['environment']['qembed']}"


def _throughput(summary: dict[str, Any]) -> Iterator[Chart]:
    """Tokens per second of each device, over the time that it spent encoding."""
    batches: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for entry in summary["batch_history"]:
        batches[entry["device"]].append((entry["seconds"], entry["tokens"]))
    whole = max((sum(seconds for seconds, _ in found) for found in batches.values()), default=0.0)
    if whole <= 0 or max(map(len, batches.values())) < 3:
        return
    step = whole / min(_TIME_BINS, max(map(len, batches.values())))
    speeds = {device: _rates(found, step) for device, found in sorted(batches.items())}
    rows = [
        [Cell(f"{number(step * i, 1)} s", step * i), *(counted(_at(found, i)) for found in speeds.values())]
        for i in range(max(map(len, speeds.values())))
    ]
    words = [f"{name} {count(min(found))} to {count(max(found))}" for name, found in speeds.items() if found]
    most = max(max(found) for found in speeds.values())
    bins = max(map(len, speeds.values()))
    said = [
        f"{number(step * i, 1)} s: "
        + ", ".join(f"{name} {count(found[i])}" for name, found in speeds.items() if i < len(found))
        for i in range(bins)
    ]
    yield Chart(
        "throughput",
        "Speed while encoding",
        f"Tokens per second: {listed(words)}.",
        steps(
            "Speed while encoding",
            [step * i for i in range(bins + 1)],
            [(at + 1, found) for at, found in enumerate(speeds.values())],
            Axis("seconds of encoding", 0, step * bins),
            Axis("tokens per second", 0, most, "whole"),
            said,
        ),
        [Key(key(at + 1, "line"), name) for at, name in enumerate(speeds)],
        Table("Tokens per second", ["From", *(f">{name}" for name in speeds)], rows),
    )


def _rates(batches: list[tuple[float, int]], step: float) -> list[float]:
    """Tokens per second in every bin of ``step`` seconds; a batch gives its tokens evenly over its time."""
    tokens: defaultdict[int, float] = defaultdict(float)
    clock = 0.0
    for seconds, read in batches:
        at, left = clock, seconds
        while left > 1e-9:
            number_of = int(at / step + 1e-9)
            part = min(left, (number_of + 1) * step - at)
            part = part if part > 1e-9 else left
            tokens[number_of] += read * part / seconds
            at, left = at + part, left - part
        clock += seconds
    last = clock - step * int(clock / step)  # the last bin is not full
    rates = [tokens[i] / step for i in range(int(clock / step))]
    return rates if last < step / 2 else [*rates, tokens[int(clock / step)] / last]


def _at(values: list[float], at: int) -> float | None:
    return values[at] if at < len(values) else None


def _tables(summary: dict[str, Any]) -> Iterator[Table]:
    yield Table(
        "Devices",
        ["Device", "Name", ">texts", ">tokens", ">seconds", ">splits", ">restarts"],
        [
            [
                *cells(entry["device"], entry["name"]),
                counted(entry["texts"]),
                counted(entry["tokens"]),
                numeric(entry.get("seconds"), 1),
                counted(entry["splits"]),
                counted(entry["restarts"]),
            ]
            for entry in summary["devices"]
        ],
    )
    yield Table(
        "Chunks and what was truncated, by subdirectory",
        ["Subdirectory", ">files", ">chunks", ">texts", ">tokens", ">truncated chunks", ">tokens not read"],
        [
            [
                Cell(name),
                *(counted(entry[key]) for key in ("files", "chunks", "unique_texts", "tokens")),
                counted(entry["truncated_chunks"]),
                Cell(
                    f"{count(entry['tokens_lost'])} ({_part(entry['tokens_lost'], entry['tokens'])})",
                    entry["tokens_lost"],
                ),
            ]
            for name, entry in summary["subdirectories"].items()
        ],
        sortable=True,
    )
    yield from _records("Batches that did not fit and were halved", summary["oom_splits"])
    yield from _records("Chunks without a vector", summary["failed"])
    yield from _records("Skipped or odd", summary["skipped"])


def _part(part: float, whole: float) -> str:
    return percent(part / whole if whole else 0.0)


def _records(caption: str, records: list[dict[str, Any]]) -> Iterator[Table]:
    if not records:
        return
    head = list(dict.fromkeys(key for record in records for key in record))
    more = f" (the first {_MOST_ROWS} of {len(records):,})" if len(records) > _MOST_ROWS else ""
    rows = [cells(*(record.get(key, "") for key in head)) for record in records[:_MOST_ROWS]]
    yield Table(caption + more, head, rows)


def _audited(document: dict[str, Any]) -> Checked:
    rows = [
        [
            Cell(
                check["outcome"],
                mark={"ok": "✓", "skipped": "–"}.get(check["outcome"], "✗"),
                tone={"ok": "good", "skipped": "same"}.get(check["outcome"], "bad"),
            ),
            *cells(check["name"]),
            counted(check["errors"]),
            counted(check["warnings"]),
            *cells(check["note"]),
        ]
        for check in document["checks"]
    ]
    found = [f"{finding['kind']}: {finding['reason']}" for finding in document["findings"][:3]]
    words = (
        f"{count(document['records'])} records of {document['file']}: {plural(document['errors'], 'error')}, "
        f"{plural(document['warnings'], 'warning')}."
    )
    if found:
        words += f" {'; '.join(found)}."
    return Checked(
        "Audit",
        document["sound"],
        words,
        Table("Checks", ["Outcome", "Check", ">errors", ">warnings", "Note"], rows),
    )


def _verified(document: dict[str, Any]) -> Checked:
    plain = {key: value for key, value in document.items() if isinstance(value, int | float | str | None)}
    rows = [cells(key.replace("_", " "), value) for key, value in plain.items() if key != "schema"]
    words = (
        f"A sample of {count(document.get('sample'))} texts of {document.get('file')} was embedded again in "
        f"fp32, one by one, and {'agrees' if document['holds'] else 'does not agree'}."
    )
    return Checked("Verification", document["holds"], words, Table("Numbers", ["What", "Value"], rows))


def _json(path: Path) -> dict[str, Any] | None:
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise Mismatch(f"this is not JSON: {error}", where=str(path), remedy="copy it again") from None
    if not isinstance(document, dict):
        raise Mismatch("this is not a JSON object", where=str(path), remedy="give the right file")
    return document
