"""How a long command reports what it is doing; the command line shows it, the Python API is silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

DeviceState: TypeAlias = Literal["loading", "running", "lost", "done"]


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """How far one device is.

    Attributes:
        device: E.g. ``cuda:0``; ``cpu#1`` is the second worker of a CPU.
        name: E.g. ``Tesla T4``.
        state: ``loading`` weights, ``running``, ``lost`` (given up after several crashes), ``done``.
        texts: Texts finished on it.
        tokens: Tokens finished on it.
        seconds: Since its first batch began.
        memory_used_bytes: Memory that its worker has reserved on a GPU; resident set of a CPU worker.
        memory_total_bytes: Memory of the device.
        peak_host_bytes: Most host memory that its worker has used so far.
        peak_device_bytes: Most memory that its worker has reserved on a GPU so far; 0 on a CPU.
        budget_tokens: Largest batch at the moment, in padded tokens.
        splits: Batches that did not fit and were halved.
        restarts: How often its worker died or hung and was started again.
    """

    device: str
    name: str
    state: DeviceState
    texts: int
    tokens: int
    seconds: float
    memory_used_bytes: int
    memory_total_bytes: int
    budget_tokens: int
    splits: int
    restarts: int
    peak_host_bytes: int = 0
    peak_device_bytes: int = 0


class Progress:
    """Does nothing with what it is told; the classes of ``terminal.progress`` show it."""

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        """A new phase begins; ``total`` in ``unit`` where it is known."""

    def advance(self, amount: int, *, texts: int = 0) -> None:
        """``amount`` more units of the phase are done, ``texts`` more texts with them."""

    def expect(self, total: int) -> None:
        """The phase's total is known, or known better, from here on; it may change several times."""

    def devices(self, statuses: Sequence[DeviceStatus]) -> None:
        """How far each device is; called after every finished batch."""

    def note(self, message: str) -> None:
        """Something that the user should know."""

    def close(self) -> None:
        """The work has ended, well or not."""
