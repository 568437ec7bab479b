"""What an upload has done, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qembed.index.server.address import Address
from qembed.shell import shell_line
from qembed.terminal.output import duration, file_size, grid, quantity

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.upload.collection import UploadPlan
    from qembed.commands.upload.result import UploadResult

SCHEMA = "qembed.upload/1"
PLAN_SCHEMA = "qembed.upload-plan/1"


def as_document(result: UploadResult) -> dict[str, Any]:
    """The result as one JSON document; docs/upload.md lists its keys."""
    rounded = {
        "seconds_sending": round(result.seconds_sending, 3),
        "seconds": round(result.seconds, 3),
        "points_per_second": round(result.points_per_second, 1),
    }
    return {
        "schema": SCHEMA,
        **asdict(result),
        **rounded,
        "next": next_command(result),
    }


def render(result: UploadResult) -> Iterator[RenderableType]:
    """The result for people, part by part."""
    from rich.text import Text

    yield Text.assemble(("uploaded", "bold green"), f": {result.embeddings}")
    yield grid(list(_facts(result)), indent=2)
    yield from _remarks(result.remarks)
    yield Text(f"next: {next_command(result)}")
    if result.back:
        yield Text(f"back: {result.back}")
    if result.later:
        yield Text(f"later: {result.later}")


def plan_as_document(decided: UploadPlan) -> dict[str, Any]:
    """A plan as one JSON document; docs/upload.md lists its keys."""
    plan = decided.plan
    return {
        "schema": PLAN_SCHEMA,
        "url": decided.address.url,
        "collection": plan.target,
        "vector": plan.wish.vector,
        "create": plan.create,
        "add_vector": plan.add_vector,
        "only_vector": plan.only_vector,
        "points": plan.wish.points,
        "replaces": plan.replaces,
        "alias": plan.alias,
        "alias_before": plan.alias_before,
        "bench": str(decided.bench) if decided.bench else None,
        "steps": [step._asdict() for step in decided.steps],
        "remarks": list(plan.remarks),
        "later": plan.later,
    }


def render_plan(decided: UploadPlan) -> Iterator[RenderableType]:
    """A plan for people, part by part."""
    from rich.text import Text

    yield Text.assemble(("plan", "bold"), f": nothing is changed yet at {decided.address.url}")
    gate = [("gate", f"passed: {decided.bench}")] if decided.bench else []
    rows = [*gate, *decided.steps]
    yield grid([(f"{number} {what}", detail) for number, (what, detail) in enumerate(rows, start=1)])
    yield from _remarks(decided.plan.remarks)
    yield Text("next: the same command without --dry-run")
    if decided.plan.later:
        yield Text(f"later: {decided.plan.later}")


def _remarks(remarks: Sequence[str]) -> Iterator[RenderableType]:
    if remarks:
        yield grid([("note:", remark) for remark in remarks], indent=0)


def next_command(result: UploadResult) -> str:
    """What to do now."""
    address = Address(result.url, result.collection, result.vector)
    return shell_line("qembed", "search", address, "QUESTION", "--model", result.model or "MODEL")


def _facts(result: UploadResult) -> Iterator[tuple[str, str]]:
    named = f", vector {result.vector}" if result.vector else ""
    made = " (new)" if result.created else ""
    yield "collection", f"{result.collection}{named} at {result.url}{made}"
    back = f"; {quantity(result.sampled)} read back and compared" if result.sampled else ""
    yield (
        "points",
        f"{quantity(result.records)} of {quantity(result.dimension)} dimensions, all there{back}",
    )
    sent = quantity(result.sent)
    if result.sent:
        rate = f"{quantity(result.points_per_second)} points/s"
        sent += f" in {duration(result.seconds_sending)} ({rate}, {file_size(result.bytes_sent)})"
    yield "sent", sent
    if result.unchanged:
        resumed = (
            f", {quantity(result.resumed)} of them sent by an interrupted upload" if result.resumed else ""
        )
        yield "unchanged", f"{quantity(result.unchanged)} already on the server{resumed}"
    if result.retried or result.halved:
        halved = f", {quantity(result.halved)} batches halved" if result.halved else ""
        yield "retried", f"{quantity(result.retried)} requests{halved}"
    if result.pruned:
        yield "deleted", f"{quantity(result.pruned)} whose chunks are no longer in the corpus"
    if result.other_points:
        yield (
            "other points",
            f"{quantity(result.other_points)} in the collection are not from these embeddings",
        )
    if result.bench:
        yield "gate", f"passed: {result.bench}"
    if result.alias:
        moved = f"; it pointed to {result.alias_before}" if result.alias_before != result.collection else ""
        yield "alias", f"{result.alias} points to {result.collection}{moved if result.alias_before else ''}"
    if result.replaces:
        yield "kept", f"{result.replaces}, as it was"
    if not result.green:
        yield "index", "the server is still indexing"
    yield "time", duration(result.seconds)
