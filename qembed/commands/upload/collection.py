"""The collection of an upload: decided by a plan, made ready, its indexing held back, its alias moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qembed import __version__
from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.points import HEAD, Points
from qembed.errors import CheckFailed
from qembed.index.server.address import Address
from qembed.index.server.alias import move_alias
from qembed.index.server.configuration import (
    add_vector,
    configuration_of,
    create_collection,
    differences,
    does_not_fit,
    wanted,
)
from qembed.index.server.fields import FieldIndex, index_fields, missing_fields, parse_field
from qembed.index.server.indexing import hold_indexing, restore_indexing
from qembed.index.server.migration import Plan, Wish, make_plan, names_of
from qembed.index.server.notes import POINTS, Notes, keeps_metadata, notes_file, prefixed
from qembed.index.server.situation import look
from qembed.index.server.steps import Step, steps

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_NOT_NOTED = (
    "the key may not write to the collection's metadata, so the server does not know which model made these "
    "vectors: name it yourself where they are searched"
)


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What an upload does; what ``--dry-run`` shows, and what is carried out.

    Attributes:
        address: The collection that the points go into, under its own name.
        plan: The decisions.
        fields: Payload indexes that are made.
        notes: What qembed remembers of the collection.
        bench: The stored bench that vouches for the embeddings; None where none was asked for.
        pruned: How many points ``--prune`` would delete; None where it was not asked for, or not counted.
    """

    address: Address
    plan: Plan
    fields: tuple[FieldIndex, ...]
    notes: Notes
    bench: Path | None = None
    pruned: int | None = None

    @property
    def steps(self) -> list[Step]:
        """What happens, in order."""
        return steps(self.plan, self.fields, self.pruned)


def decide(
    client: QdrantClient,
    address: Address,
    points: Points,
    options: UploadOptions,
    version: tuple[int, int],
    bench: Path | None = None,
) -> UploadPlan:
    """Look at the server and decide what is done; changes nothing.

    Args:
        client: The server.
        address: The collection, or an alias of it.
        points: What goes into it.
        options: What was asked for.
        version: Version of the server.
        bench: The stored bench that vouches for the embeddings.

    Raises:
        DimensionMismatch, Mismatch: The collection does not fit; with a table of the differences.
        UsageError: What is asked for contradicts what is there.
    """
    fields = list(map(parse_field, options.index_fields))
    on_server = keeps_metadata(version)
    wish = Wish(
        address.collection,
        wanted(
            points.dimension,
            points.similarity,
            vector=points.vector,
            quantization=options.quantization,
            on_disk=options.on_disk,
        ),
        points=points.records,
        model=points.model,
        weights=points.weights,
        query_prompt=points.query_prompt,
        migrate=options.migrate,
        into=options.into,
        alias=options.alias,
        hold=options.hold_indexing,
        notes_beside=None if on_server else str(points.path),
    )
    file = None if on_server else notes_file(points.path)
    there = look(client, address.url, names_of(wish), file)
    plan = make_plan(wish, there)
    if absent := points.without(fields):
        named = ", ".join(each.field for each in absent)
        remark = (
            f"none of the first {min(HEAD, points.records):,} chunks has the field {named} that is indexed"
        )
        plan = replace(plan, remarks=(*plan.remarks, remark))
    found = there.found.get(plan.target)
    return UploadPlan(
        Address(address.url, plan.target, address.vector),
        plan,
        tuple(missing_fields(fields, found.fields if found else {}, plan.target)),
        Notes(client, plan.target, address.url, on_server, file),
        bench,
    )


def make_ready(client: QdrantClient, decided: UploadPlan, points: Points) -> str:
    """Make the collection or the vector, and payload indexes; returns what a component is stored as.

    Raises:
        DimensionMismatch, Mismatch: A collection of that name was made meanwhile, and does not fit.
    """
    from qdrant_client.http.exceptions import UnexpectedResponse

    plan, notes, want = decided.plan, decided.notes, decided.plan.wish.want
    if plan.create:
        first = plan.notes(points.sha256, __version__)
        if not notes.on_server:  # what is written there is of a collection that is gone
            notes.write({**dict.fromkeys(notes.read()), **first})
        try:
            create_collection(
                client, plan.target, want, metadata=prefixed(first) if notes.on_server else None
            )
        except UnexpectedResponse as error:
            if error.status_code != 409:  # it is there now: the response to the first try was lost
                raise
    elif plan.add_vector:
        add_vector(client, plan.target, want)
    have = configuration_of(client.get_collection(plan.target))
    if rows := differences(want, have, alone=not plan.only_vector):
        raise does_not_fit(plan.target, rows, "name another --collection")
    index_fields(client, plan.target, decided.fields)
    return have.vectors[plan.wish.vector].datatype


@contextmanager
def indexing_held(client: QdrantClient, decided: UploadPlan) -> Iterator[None]:
    """Hold indexing back while points are sent, where the plan says so.

    After a kill the next upload restores it. So does this one after a failure, if the server still answers.
    """
    if decided.plan.hold:
        hold_indexing(client, decided.notes)
    try:
        yield
    except BaseException:
        with suppress(Exception):
            restore_indexing(client, decided.notes)
        raise
    restore_indexing(client, decided.notes)


def conclude(client: QdrantClient, decided: UploadPlan, points: Points, *, green: bool) -> tuple[str, ...]:
    """Write down what the collection holds now, and move the alias; to be called once all checks have passed.

    A key that may write points may not write notes, which are configuration; the upload is as good without.

    Args:
        client: The server.
        decided: The plan that was carried out.
        points: What was sent.
        green: Whether the server has indexed everything.

    Returns:
        What the user should know of it.

    Raises:
        CheckFailed: The server still indexes: applications would search without a graph.
        UsageError: A collection has the alias's name by now.
        QembedError: The alias did not move.
    """
    from qdrant_client.http.exceptions import UnexpectedResponse

    told = decided.plan.notes(points.sha256, __version__)
    if not decided.plan.only_vector:
        told[POINTS] = points.records
    known = decided.notes.read()
    alias = decided.plan.alias
    remarks: tuple[str, ...] = ()
    if new := {key: value for key, value in told.items() if known.get(key) != value}:
        try:
            decided.notes.write(new)
        except UnexpectedResponse as error:
            if error.status_code != 403 or alias is not None:
                raise
            remarks = (_NOT_NOTED,)
    if alias is None:
        return remarks
    if not green and decided.plan.alias_before != decided.plan.target:
        raise CheckFailed(
            f"all points are there and right, but {decided.plan.target!r} is still being indexed, so the "
            f"alias {alias!r} was not moved",
            where=decided.address.url,
            remedy="run the same command again later, or wait longer: --wait-green",
        )
    move_alias(client, alias, decided.notes)
    return ()
