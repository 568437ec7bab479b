"""What an upload will do to a server, decided before anything is changed. Pure.

The plan that ``--dry-run`` prints is the one that is carried out. A collection that another tool made is
never made again, emptied or configured. A wrong dimension has two ways out; both leave what is there:

    collection   a new collection beside the old one; the alias moves when all checks have passed
    vector       a new named vector for the points that are there (servers from 1.18)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from qembed.errors import UsageError
from qembed.index.server.alias import name_is_taken
from qembed.index.server.configuration import Configuration, Difference, differences, does_not_fit
from qembed.index.server.notes import MADE, MODEL, QUERY_PROMPT, REPLACES, SHA256, THRESHOLD, WEIGHTS
from qembed.index.server.situation import Found, Situation
from qembed.shell import shell_line

Migrate: TypeAlias = Literal["collection", "vector"]

ADDS_VECTORS = (1, 18)
"""First version of a server that adds a named vector to a collection."""
FILTERS_BY_VECTOR = (1, 13)
"""First version of a server that counts the points that have a vector."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an upload.

    Attributes:
        collection: Name of a collection, or an alias.
        want: Configuration that the embeddings need; it has one vector.
        points: How many there are.
        model: Id of their model; None where no manifest says so.
        weights: Hash of its weights; None where no manifest says so.
        query_prompt: What stands before a query; None where no manifest says so.
        migrate: Which way out of a configuration that does not fit; None for none.
        into: Name of the new collection; None for ``NAME-DIMENSIONd``.
        alias: What points to the collection once all checks have passed.
        hold: Hold indexing back in a collection that another tool made, too.
        notes_beside: The embeddings, where the notes are beside them; commands for later must name them then.
    """

    collection: str
    want: Configuration
    points: int = 0
    model: str | None = None
    weights: str | None = None
    query_prompt: str | None = None
    migrate: Migrate | None = None
    into: str | None = None
    alias: str | None = None
    hold: bool = False
    notes_beside: str | None = None

    @property
    def vector(self) -> str:
        """Name of the vector; empty for the unnamed one."""
        (name,) = self.want.vectors
        return name

    @property
    def new_name(self) -> str:
        """Name of the collection that a migration makes."""
        return self.into or f"{self.collection}-{self.want.vectors[self.vector].size}d"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen.

    Attributes:
        wish: What was asked for.
        target: The collection that the points go to; never an alias.
        create: It does not exist yet.
        add_vector: The vector is added to it.
        only_vector: Only this vector of points is written; else whole points.
        hold: Indexing is held back meanwhile.
        replaces: The collection that ``target`` takes the place of; it is left as it is.
        replaced_points: How many it holds.
        alias: What will point to ``target``; None for nothing.
        alias_before: What the alias points to now; None for nothing.
        remarks: What else there is to know, and to do.
        later: The command that deletes ``replaces``; None without it.
        back: The command that moves the alias back; None where it does not move, or from nowhere.
    """

    wish: Wish
    target: str
    create: bool
    add_vector: bool = False
    only_vector: bool = False
    hold: bool = False
    replaces: str | None = None
    replaced_points: int = 0
    alias: str | None = None
    alias_before: str | None = None
    remarks: tuple[str, ...] = ()
    later: str | None = None
    back: str | None = None

    def notes(self, embeddings_sha256: str | None, version: str) -> dict[str, str | int]:
        """What is written down at the collection when it is made or filled."""
        notes: dict[str, str | int] = {MADE: version} if self.create else {}
        if self.wish.model:
            notes[MODEL + self.wish.vector] = self.wish.model
        if self.wish.weights:
            notes[WEIGHTS + self.wish.vector] = self.wish.weights
        if self.wish.query_prompt is not None:
            notes[QUERY_PROMPT + self.wish.vector] = self.wish.query_prompt
        if self.only_vector:  # all else is about points that another upload sent
            return notes
        if self.replaces is not None:
            notes[REPLACES] = self.replaces
        if embeddings_sha256 is not None:
            notes[SHA256] = embeddings_sha256
        return notes


def names_of(wish: Wish) -> list[str]:
    """The collections and aliases that a plan looks at."""
    return [wish.collection, wish.new_name, *([wish.alias] if wish.alias else [])]


def make_plan(wish: Wish, there: Situation) -> Plan:
    """Decide what an upload does.

    Args:
        wish: What is asked for.
        there: What the server has, looked at ``names_of(wish)``.

    Raises:
        DimensionMismatch: The collection holds vectors of another dimension, and no way out is asked for.
        Mismatch: It does not fit for another reason.
        UsageError: The options contradict what is there, or the server is too old.
    """
    if wish.migrate == "vector":
        plan = _into_vector(wish, there)
    elif wish.migrate == "collection":
        plan = _into_new(wish, there)
    else:
        plan = _as_named(wish, there)
    return _with_alias(plan, there)


def _as_named(wish: Wish, there: Situation) -> Plan:
    target = there.resolve(wish.collection)
    found = there.found.get(target)
    if found is None:
        return Plan(wish, target, create=True, hold=True)
    rows = (*differences(wish.want, found.configuration), *_other_model(wish, found))
    if rows:
        raise does_not_fit(wish.collection, rows, _ways_out(wish, there, rows))
    return Plan(
        wish, target, create=False, hold=_hold(wish, found), remarks=_unknown_model(wish, target, found)
    )


def _into_new(wish: Wish, there: Situation) -> Plan:
    source = there.resolve(wish.collection)
    if source not in there.found:
        raise UsageError(
            f"there is no collection {wish.collection!r} to migrate from",
            remedy="leave --migrate out: the upload makes a new collection",
        )
    target = wish.new_name
    if target == wish.collection:
        raise UsageError(f"{target!r} is the old collection", remedy="name the new one with --into")
    if source == target:  # the alias has moved already: the same command again
        before = there.found[source].notes.get(REPLACES)
        return replace(_as_named(wish, there), replaces=before if before in there.names else None)
    if target in there.aliases:
        raise UsageError(f"{target!r} is an alias", remedy="name the new collection with --into")
    old, new = there.found[source], there.found.get(target)
    plan = Plan(wish, target, create=new is None, hold=True, replaces=source, replaced_points=old.points)
    if new is None:
        return plan
    rows = (*differences(wish.want, new.configuration), *_other_model(wish, new))
    if rows or (new.points and new.notes.get(REPLACES) != source):
        taken = does_not_fit(target, rows, "--into names another new collection") if rows else None
        raise taken or UsageError(
            f"{target!r} exists, and no migration of {source!r} made it",
            remedy="--into names another new collection; to fill the existing one, name it as --collection",
        )
    return replace(plan, hold=_hold(wish, new))


def _into_vector(wish: Wish, there: Situation) -> Plan:
    target = there.resolve(wish.collection)
    found = there.found.get(target)
    if found is None:
        raise UsageError(
            f"there is no collection {wish.collection!r} to add a vector to",
            remedy="leave --migrate out: the upload makes a new collection",
        )
    if not wish.vector:
        raise UsageError(
            "the new vector needs a name", remedy="--vector NAME, by which applications ask for it"
        )
    if there.version < FILTERS_BY_VECTOR:
        raise UsageError(
            f"the server is {there.version[0]}.{there.version[1]}; one vector can be checked from 1.13 on",
            remedy="--migrate collection, or update the server",
        )
    add = wish.vector not in found.configuration.vectors
    if add and there.version < ADDS_VECTORS:
        raise UsageError(
            f"the server is {there.version[0]}.{there.version[1]}; from 1.18 on, vectors can be added",
            remedy="--migrate collection, or update the server",
        )
    if wish.vector in found.configuration.sparse:
        raise UsageError(f"{wish.vector!r} is a sparse vector of {target!r}", remedy="name another --vector")
    rows = (*differences(wish.want, found.configuration, alone=False), *_other_model(wish, found))
    if add:  # an added vector is configured by the collection
        rows = (*rows, *_not_with_an_added_vector(wish))
    if rows:
        raise does_not_fit(wish.collection, rows, "name another --vector, or --migrate collection")
    remark = (
        "applications go on asking for the vectors they use now; they switch by naming the vector "
        f"(using={wish.vector!r}), and switch back the same way"
    )
    return Plan(
        wish, target, create=False, add_vector=add, only_vector=True, hold=wish.hold, remarks=(remark,)
    )


def _not_with_an_added_vector(wish: Wish) -> tuple[Difference, ...]:
    need = wish.want.vectors[wish.vector]
    rows = []
    if need.quantization is not None:
        rows.append(Difference("quantisation", "as the collection has it", need.quantization))
    if need.on_disk is not None:
        rows.append(
            Difference("vectors kept", "as the collection has it", "on disk" if need.on_disk else "in memory")
        )
    return tuple(rows)


def _hold(wish: Wish, found: Found) -> bool:
    """Whether indexing is held back in an existing collection: a killed upload made it, or who asks."""
    return wish.hold or THRESHOLD in found.notes or (MADE in found.notes and not found.points)


def _other_model(wish: Wish, found: Found) -> tuple[Difference, ...]:
    """Vectors of two models do not mix, whatever their dimension. The weights decide, else the name."""
    known, weights = found.notes.get(MODEL + wish.vector), found.notes.get(WEIGHTS + wish.vector)
    if not found.points or wish.model is None or known is None:
        return ()
    if weights is None or wish.weights is None:
        return () if known == wish.model else (Difference("model", str(known), wish.model),)
    if weights == wish.weights:
        return ()
    named = [
        f"{name} (weights {sha256[:8]})" for name, sha256 in ((known, weights), (wish.model, wish.weights))
    ]
    return (Difference("model", *named),)


def _unknown_model(wish: Wish, target: str, found: Found) -> tuple[str, ...]:
    known = found.notes.get(MODEL + wish.vector)
    if found.points and wish.model is None and known is not None:
        return (
            f"no manifest says which model made these embeddings; the vectors in {target} are of {known}, "
            "and vectors of two models do not mix",
        )
    if not found.points or wish.model is None or known is not None:
        return ()
    return (
        f"nobody wrote down which model made the {found.points:,} vectors in {target}; if it was not "
        f"{wish.model}, take --migrate collection: vectors of two models do not mix",
    )


def _ways_out(wish: Wish, there: Situation, rows: Sequence[Difference]) -> str:
    """What to do about a collection that does not fit."""
    ways = [f"--migrate collection loads {wish.new_name!r} beside it and leaves it as it is"]
    if there.version >= ADDS_VECTORS and all(row.what != "sharding" for row in rows):
        named = wish.vector or "NAME"
        ways.append(f"--migrate vector --vector {named} writes one named vector of its points")
    if {row.what for row in rows} <= {"quantisation", "vectors kept"}:
        ways.append("the same without --quantization and --on-disk takes the collection as it is")
    ways.append("another --collection. --dry-run shows what would be done")
    return ", or\n      ".join(ways)


def _with_alias(plan: Plan, there: Situation) -> Plan:
    """The alias that moves, and what to do where none can."""
    wish = plan.wish
    named_by_alias = wish.collection if wish.collection in there.aliases else None
    alias = wish.alias or (named_by_alias if plan.replaces is not None else None)
    if alias is not None:
        if alias in there.names or (plan.create and alias == plan.target):
            raise name_is_taken(alias)
        before = there.aliases.get(alias)
        moves = before is not None and before != plan.target
        return replace(
            plan,
            alias=alias,
            alias_before=before,
            back=_command(wish, there, "--alias", alias, "--rollback") if moves else None,
            later=_command(wish, there, "--alias", alias, "--drop-old") if plan.replaces else None,
        )
    if plan.replaces is None:
        return plan
    pointing = sorted(name for name, collection in there.aliases.items() if collection == plan.replaces)
    if pointing:
        remark = (
            f"{plan.replaces} is also called {', '.join(pointing)}; --alias {pointing[0]} moves that name to "
            f"{plan.target}"
        )
        return replace(plan, remarks=(*plan.remarks, remark))
    remark = (
        f"applications that ask for {plan.replaces} keep reading the old vectors: it is a collection, and no "
        "alias can have its name. Either let them ask for an alias (--alias NAME). Or delete the old "
        "collection when the new one is loaded, and give its name to an alias: one command does both"
    )
    later = _command(wish, there, "--collection", plan.target, "--alias", plan.replaces, "--drop-old")
    return replace(plan, remarks=(*plan.remarks, remark), later=later)


def _command(wish: Wish, there: Situation, *what: str) -> str:
    named = [wish.notes_beside] if wish.notes_beside else []
    return shell_line("qembed", "upload", *named, "--url", there.url, *what)
