"""A plan as rows for people and programs: what will happen, in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qembed.index.server.fields import FieldIndex
from qembed.index.server.migration import Plan


class Step(NamedTuple):
    """One row.

    Attributes:
        what: ``create``, ``add vector``, ``index``, ``hold``, ``send``, ``restore``, ``check``,
            ``prune``, ``alias`` or ``keep``.
        detail: To what, in words.
    """

    what: str
    detail: str


def steps(plan: Plan, fields: Sequence[FieldIndex] = (), pruned: int | None = None) -> list[Step]:
    """What a plan does.

    Args:
        plan: As ``make_plan`` decides it.
        fields: Payload indexes that are missing.
        pruned: How many points are deleted; None where nobody asked for it.
    """
    wish, need = plan.wish, plan.wish.want.vectors[plan.wish.vector]
    named = f" {wish.vector!r}" if wish.vector else ""
    kind = f"{need.size:,} dimensions, {need.distance}"
    kind += f", quantisation {need.quantization}" if need.quantization else ""
    kind += {None: "", True: ", on disk", False: ", in memory"}[need.on_disk]
    rows = []
    if plan.create:
        rows.append(Step("create", f"collection {plan.target}: vector{named} of {kind}"))
    elif plan.add_vector:
        rows.append(Step("add vector", f"{wish.vector!r} in {plan.target}: {kind}"))
    if fields:
        rows.append(
            Step("index", "payload fields " + ", ".join(f"{each.field} ({each.type})" for each in fields))
        )
    if plan.hold:
        rows.append(Step("hold", "indexing waits until the points are there"))
    rows.append(Step("send", _sent(plan, named)))
    if plan.hold:
        rows.append(Step("restore", "indexing begins"))
    rows.append(Step("check", "status green, exact count, a sample read back and compared"))
    if pruned is not None:
        rows.append(Step("prune", f"{pruned:,} points whose chunks are no longer in the corpus are deleted"))
    if plan.alias is not None:
        stays = plan.alias_before == plan.target
        moves = f"stays at {plan.target}" if stays else f"{plan.alias_before or '(new)'} -> {plan.target}"
        rows.append(Step("alias", f"{plan.alias}: {moves}"))
    if plan.replaces is not None:
        rows.append(Step("keep", f"{plan.replaces} stays as it is, {plan.replaced_points:,} points"))
    return rows


def _sent(plan: Plan, named: str) -> str:
    if plan.only_vector:
        return f"vector{named} of {plan.wish.points:,} points; other vectors and payloads stay as they are"
    return f"{plan.wish.points:,} points into {plan.target}"
