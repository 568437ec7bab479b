"""Killed at each file-system event, and corrupted at random: nothing lost, doubled or misplaced.

Every format, with and without cache and shards. ``make faults`` runs all of it; its counts go to the file
that ``QEMBED_FAULTS`` names, and ``QEMBED_TRIALS`` limits the trials of each kind.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.errors import InputNotFound, QembedError, UsageError
from qembed.models import EncoderOptions
from qembed.store import find_embeddings, placed_records

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="forks and counts events")]

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.scandir"}
FOREIGN = dict.fromkeys(("docs_embeddings.csv", "other_embeddings.jsonl", "notes.txt"), b"mine")
CONFIGS = list(product(("jsonl", "npy", "parquet"), (False, True), (None, 7)))
TRIALS = int(os.environ.get("QEMBED_TRIALS", "1000"))
TEXTS = [f"chunk {number % 20} " + "of words " * (number % 4) for number in range(24)]
Records = list[tuple[Any, str | None, bytes]]


def forked(work: Callable[[], object]) -> int:
    """Run something in a child process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except QembedError:
            os._exit(7)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(number: int, folders: Sequence[Path]) -> list[str]:
    """Kill this process before its n-th file-system event below some folders; never for 0.

    Returns:
        The events so far; it grows.
    """
    places, seen = tuple(map(str, folders)), list[str]()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and any(str(each).startswith(places) for each in arguments[:2]):
            seen.append(event)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks) -> Path:
    return write_chunks(tmp_path_factory.mktemp("in") / "docs", {"a/x": TEXTS[:10], "b/y": TEXTS[10:]})


@pytest.fixture(scope="module")
def options(tiny: Path) -> EmbedOptions:
    encoder = EncoderOptions(device="cpu", precision="fp32")
    return EmbedOptions(model=str(tiny), encoder=encoder, token_budget=64)


def records(folder: Path) -> Records:
    found = find_embeddings(folder / "set")
    return [(record.id, record.text, record.vector.tobytes()) for record, _ in placed_records(found)]


class Case:
    """One configuration: what a run of it must give, and a fresh place for each trial."""

    def __init__(self, root: Path, chunks: Path, options: EmbedOptions, config: tuple[Any, ...]) -> None:
        format, self.cached, shards = config
        if format == "parquet":
            pytest.importorskip("pyarrow")
        self.root, self.chunks = root, chunks
        self.options = replace(options, format=format, shard_records=shards)
        self.counts: Counter[str] = Counter()
        embed(chunks, root / "reference" / "set", self.options)
        self.reference = records(root / "reference")
        self.warm = root / "warm"
        if self.cached:  # half of the texts are in it
            half = replace(options, cache=self.warm, corpus=replace(options.corpus, limit=6))
            embed(chunks, root / "half" / "set", half)

    def fresh(self, name: str) -> Path:
        place = self.root / name
        (place / "set").mkdir(parents=True)
        for file, content in FOREIGN.items():
            (place / "set" / file).write_bytes(content)
        if self.cached:
            shutil.copytree(self.warm, place / "cache")
        return place

    def run(self, place: Path) -> None:
        cache = place / "cache" if self.cached else None
        embed(self.chunks, place / "set", replace(self.options, cache=cache))

    def check(self, place: Path) -> None:
        """After the run that follows a fault."""
        for file, content in FOREIGN.items():
            self.counts["foreign"] += (place / "set" / file).read_bytes() != content
            (place / "set" / file).unlink()
        found, wanted = records(place), self.reference
        ids = [name for name, _, _ in found]
        self.counts["lost"] += len({name for name, _, _ in wanted} - set(ids))
        self.counts["doubled"] += len(ids) - len(set(ids))
        self.counts["misplaced"] += sum(map(differs, found, wanted))
        assert ids == [name for name, _, _ in wanted]
        shutil.rmtree(place)

    def half_visible(self, place: Path) -> None:
        """What a reader gets right after the kill: the whole set, or a refusal."""
        for file in FOREIGN:
            (place / "set" / file).rename(place / file)
        with suppress(InputNotFound, UsageError):
            found = [row[:2] for row in records(place)]
            self.counts["partial"] += found != [row[:2] for row in self.reference]
        for file in FOREIGN:
            (place / file).rename(place / "set" / file)


def differs(one: tuple[Any, str | None, bytes], other: tuple[Any, str | None, bytes]) -> bool:
    a, b = (np.frombuffer(row[2], np.float32).astype(np.float64) for row in (one, other))
    return one[:2] != other[:2] or float(a @ b) < 0.99999  # batches of other shapes round otherwise


def name_of(config: tuple[Any, ...]) -> str:
    format, cached, shards = config
    return "-".join((format, "cache" if cached else "plain", "shards" if shards else "one"))


@pytest.fixture(params=CONFIGS, ids=name_of)
def case(
    request: pytest.FixtureRequest, tmp_path: Path, chunks: Path, options: EmbedOptions
) -> Iterator[Case]:
    made = Case(tmp_path, chunks, options, request.param)
    yield made
    line = {"case": request.node.callspec.id, **made.counts}
    with Path(os.environ.get("QEMBED_FAULTS", os.devnull)).open("a", encoding="utf-8") as log:
        log.write(json.dumps({"test": request.node.originalname, **line}) + "\n")


def none_wrong(case: Case) -> bool:
    return not any(case.counts[kind] for kind in ("lost", "doubled", "misplaced", "foreign", "partial"))


def test_killed_at_each_event(case: Case) -> None:
    counted = case.fresh("counted")

    def counting() -> None:
        seen = killed_at(0, [counted])
        case.run(counted)
        (case.root / "events").write_text(str(len(seen)))

    assert forked(counting) == 0
    events = int((case.root / "events").read_text())
    numbers = np.unique(np.linspace(1, events, min(TRIALS, events)).astype(int)).tolist()
    for number in numbers:
        place = case.fresh(f"kill{number}")

        def until_killed(number: int = number, place: Path = place) -> None:
            killed_at(number, [place])
            case.run(place)

        assert forked(until_killed) == -signal.SIGKILL
        case.counts["trials"] += 1
        case.half_visible(place)
        assert forked(lambda place=place: case.run(place)) == 0, number  # type: ignore[misc]
        case.check(place)
    assert none_wrong(case), case.counts
    assert case.counts["trials"] == len(numbers) >= min(20, TRIALS)


def test_corrupted_at_random(case: Case) -> None:
    """A run is killed late; a byte, a tail or a whole file of its work folder or cache changes."""
    randomly = random.Random(5)
    for trial in range(min(TRIALS, 40)):
        place = case.fresh(f"corrupt{trial}")

        def until_killed(place: Path = place) -> None:
            killed_at(randomly.randint(30, 60), [place])
            case.run(place)

        forked(until_killed)
        randomly.random()
        files = [path for path in place.rglob("*") if path.is_file() and path.name not in FOREIGN]
        files = [path for path in files if path.stat().st_size and path.suffix != ".lock"]
        victim = randomly.choice(files)
        content = bytearray(victim.read_bytes())
        at = randomly.randrange(len(content))
        kind = randomly.choice(("flip", "cut", "zero", "gone"))
        if kind == "flip":
            content[at] ^= 1 << randomly.randrange(8)
        elif kind == "cut":
            del content[at:]
        elif kind == "zero":
            content[at:] = bytes(len(content) - at)
        victim.unlink() if kind == "gone" else victim.write_bytes(content)
        case.counts["trials"] += 1
        ended = forked(lambda place=place: case.run(place))  # type: ignore[misc]
        if ended == 7:  # refused with a reason: with --force it goes on from nothing
            case.counts["refused"] += 1
            cache = place / "cache" if case.cached else None
            forced = replace(case.options, cache=cache, force=True)
            ended = forked(lambda place=place, forced=forced: embed(case.chunks, place / "set", forced))  # type: ignore[misc]
        assert ended == 0, (trial, victim.name, kind)
        case.check(place)
    assert none_wrong(case), case.counts
