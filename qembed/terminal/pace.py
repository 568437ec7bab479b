"""How fast work goes: the pace of the last minute, in all and of each device. No clock, no terminal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from qembed.progress import DeviceStatus

WINDOW_SECONDS = 60.0
"""The longest texts come first, so the mean of the whole run would mislead."""

_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """Units and texts per second, and how long ago the last of them were done."""

    units: float
    texts: float
    silent_seconds: float

    def seconds_left(self, units: int) -> float | None:
        """Until ``units`` more are done, counting down between news; None while there is no pace."""
        return max(units / self.units - self.silent_seconds, 0.0) if self.units else None


class Window:
    """What was done within the last minute.

    The pace is taken up to the last news, so that it does not sag while a long batch is under way; it falls
    when there is no news for longer than the window.
    """

    def __init__(self, started: float) -> None:
        self._samples = deque([(started, 0, 0)])

    def began(self, started: float) -> None:
        """The work began at ``started``; the time before that was spent on loading."""
        samples = self._samples
        if samples[0][1] == 0 and (len(samples) == 1 or started < samples[1][0]):
            samples[0] = (max(samples[0][0], started), 0, 0)

    def add(self, now: float, units: int, texts: int) -> None:
        """``units`` and ``texts`` are done by now, from the beginning on."""
        samples = self._samples
        if units == samples[-1][1]:
            return
        if len(samples) > 1 and now - samples[-2][0] < _SAMPLE_SECONDS:
            samples[-1] = (now, units, texts)
            return
        samples.append((now, units, texts))
        while now - samples[1][0] >= WINDOW_SECONDS:
            samples.popleft()

    def pace(self, now: float) -> Pace:
        """Rates of the last minute; zero before the first report."""
        (since, units_then, texts_then), (last, units, texts) = self._samples[0], self._samples[-1]
        seconds = max(last, now - WINDOW_SECONDS) - since
        if seconds <= 0:
            return Pace(0.0, 0.0, now - last)
        return Pace((units - units_then) / seconds, (texts - texts_then) / seconds, now - last)


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """A device and its pace of the last minute, in tokens; see ``device_line``."""

    status: DeviceStatus
    pace: Pace

    @property
    def memory(self) -> str:
        """Used and total, e.g. ``13.2/15.8 GB``; what is used alone where the total is unknown."""
        used, total = self.status.memory_used_bytes / 1e9, self.status.memory_total_bytes / 1e9
        return f"{used:.1f}/{total:.1f} GB" if total else f"{used:.1f} GB"


def device_line(status: DeviceStatus, pace: Pace) -> DeviceLine:
    """A device that loads, is lost or is done has no pace."""
    return DeviceLine(status, pace if status.state == "running" else Pace(0.0, 0.0, pace.silent_seconds))
