"""How a long command tells what it is doing; the command line shows it, the Python API is silent."""

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
        state: ``loading`` weights, ``running``, ``lost`` (given up after several deaths), ``done``.
        texts: Finished on it.
        tokens: Finished on it.
        seconds: Since its first batch began.
        memory_used_bytes: Of a GPU all that its worker has reserved; of a CPU worker its resident set.
        memory_total_bytes: Of the device.
        budget_tokens: Padded tokens of a batch at most, now.
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


class Progress:
    """Takes news and does nothing with them; ``cli.progress`` has one that shows them."""

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        """A new phase begins; ``total`` in ``unit`` where it is known."""

    def advance(self, amount: int, *, texts: int = 0) -> None:
        """``amount`` more units of the phase are done, ``texts`` more texts with them."""

    def expect(self, total: int) -> None:
        """The phase's total is known better now."""

    def devices(self, statuses: Sequence[DeviceStatus]) -> None:
        """How far each device is; called after every finished batch."""

    def note(self, message: str) -> None:
        """Something that the user should know."""

    def close(self) -> None:
        """The work has ended, well or not."""
