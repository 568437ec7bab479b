"""Runs peers in processes of their own, in turns: one computes, the others are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from peer_list import Peer

WORKER = Path(__file__).with_name("peer_worker.py")
TUNING_PASSES = 2
"""Of each setting, the faster counts; one more goes before them to warm up."""


class PeerFailed(Exception):
    """A peer is not installed, or failed; the message says what to do or what it said."""


class Worker:
    """A peer's process. It is stopped (SIGSTOP, with its children) whenever no request is under way."""

    def __init__(self, peer: Peer, setup: Path | None, work: Path) -> None:
        self.peer, self.versions = peer, dict[str, str]()
        self.setting = dict(peer.settings[0])
        python = setup / peer.environment / "bin" / "python" if setup and peer.environment else None
        self.log = work / f"{peer.name.replace(' ', '_')}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    str(python) if python and python.exists() else sys.executable,
                    str(WORKER),
                    str(peer.adapters),
                    peer.adapter,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", **peer.variables},
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Let the process run until it has answered.

        Raises:
            PeerFailed: It answered with an error, or died.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before = self._cpu_seconds()
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            last = self.log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise PeerFailed(f"failed: died: {last}")
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        answer["cpu_seconds"] = self._cpu_seconds() - before
        if answer.get("missing"):
            raise PeerFailed(f"not installed ({answer['missing']}): {self.peer.install}")
        if "error" in answer:
            raise PeerFailed(f"failed: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process and its children."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _cpu_seconds(self) -> float:
        """CPU seconds of the process and its children so far."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
            return float(sum(time.user + time.system for time in times))
        return 0.0

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Measured:
    """What one peer did.

    Attributes:
        peer: The peer.
        seconds: Duration of each round.
        cpu_seconds: Likewise, summed over threads and processes; includes the reply.
        cosines: Cosine of each text's vector with the reference.
        setting: The fastest setting that was tried.
        versions: Versions of its libraries.
        trouble: Why there are no numbers; empty when there are.
    """

    peer: Peer
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    cosines: np.ndarray = field(default_factory=lambda: np.empty(0))
    setting: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True)
class Plan:
    """What is measured: ``tuning`` texts first, then ``rounds`` slices of the others, none twice."""

    texts: Sequence[str]
    tuning: int
    rounds: int
    model: Path
    setup: Path | None
    work: Path

    def slices(self) -> list[tuple[int, int]]:
        """(start, stop) of each round, of sizes that differ by one at most."""
        edges = np.linspace(self.tuning, len(self.texts), self.rounds + 1).astype(int)
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def measure(
    peers: Sequence[Peer], reference: Peer, plan: Plan, say: Callable[[str], None] = lambda _line: None
) -> list[Measured]:
    """Tune every peer, then give all of them each slice in a rotating order; cosines with ``reference``."""
    (plan.work / "texts.json").write_text(json.dumps(list(plan.texts)), encoding="utf-8")
    results = {peer.name: Measured(peer) for peer in peers}
    workers: dict[str, Worker] = {}
    try:
        for peer in (*peers, reference):
            result = results.setdefault(peer.name, Measured(peer))
            try:
                workers[peer.name] = _start(peer, plan)
                _tune(workers[peer.name], plan)
                result.versions = workers[peer.name].versions
                result.setting = workers[peer.name].setting
                say(f"{peer.name}: {result.setting or 'ready'}")
            except PeerFailed as failure:
                _give_up(workers, result, str(failure), say)
        if reference.name not in workers:
            raise PeerFailed(f"no reference: {results[reference.name].trouble}")
        for number, (start, stop) in enumerate(plan.slices()):
            expected = _encode(workers[reference.name], plan, start, stop)[1]
            names = [peer.name for peer in peers if peer.name in workers]
            turn = number % max(1, len(names))
            for name in names[turn:] + names[:turn]:
                try:
                    answer, vectors = _encode(workers[name], plan, start, stop)
                    found = cosines(vectors, expected)
                except PeerFailed as failure:
                    _give_up(workers, results[name], str(failure), say)
                    continue
                results[name].seconds.append(answer["seconds"])
                results[name].cpu_seconds.append(answer["cpu_seconds"])
                results[name].cosines = np.append(results[name].cosines, found)
            say(f"round {number + 1} of {plan.rounds}: {stop - start} texts")
    finally:
        for worker in workers.values():
            worker.close()
    return [results[peer.name] for peer in peers]


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows; float64 (rows,).

    Raises:
        PeerFailed: The shapes differ.
    """
    if ours.shape != theirs.shape:
        raise PeerFailed(f"failed: vectors {ours.shape}, expected {theirs.shape}")
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    found: np.ndarray = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return found


def _start(peer: Peer, plan: Plan) -> Worker:
    worker = Worker(peer, plan.setup, plan.work)
    exports = (plan.setup or plan.work) / "models"
    folders = {"model": str(plan.model), "exports": str(exports), "texts": str(plan.work / "texts.json")}
    try:
        worker.versions = worker.ask(do="load", options=dict(peer.options), **folders)["versions"]
    except BaseException:  # Ctrl-C too: a stopped process would stay for ever
        worker.close()
        raise
    return worker


def _tune(worker: Worker, plan: Plan) -> None:
    """Configure the fastest of the peer's settings; a single one is warmed up only."""
    if len(worker.peer.settings) == 1:
        worker.ask(do="configure", settings=worker.setting)
        worker.ask(do="encode", start=0, stop=plan.tuning, save=None)
        return
    best = float("inf")
    for setting in worker.peer.settings:
        worker.ask(do="configure", settings=dict(setting))
        passes = [
            worker.ask(do="encode", start=0, stop=plan.tuning, save=None)["seconds"]
            for _ in range(TUNING_PASSES + 1)
        ]
        if min(passes[1:]) < best:
            best, worker.setting = min(passes[1:]), dict(setting)
    worker.ask(do="configure", settings=worker.setting)
    worker.ask(do="encode", start=0, stop=plan.tuning, save=None)


def _encode(worker: Worker, plan: Plan, start: int, stop: int) -> tuple[dict[str, Any], np.ndarray]:
    """The answer and the vectors of one slice."""
    file = plan.work / "vectors.npy"
    answer = worker.ask(do="encode", start=start, stop=stop, save=str(file))
    return answer, np.load(file)


def _give_up(workers: dict[str, Worker], result: Measured, why: str, say: Callable[[str], None]) -> None:
    result.trouble = why
    say(f"{result.peer.name}: {why}")
    if worker := workers.pop(result.peer.name, None):
        worker.close()
