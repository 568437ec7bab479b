"""Progress on stderr: live lines on a terminal, plain lines every few seconds in a log, or JSON lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import click
import orjson

from qembed.progress import DeviceStatus, Progress
from qembed.terminal.output import duration, file_size, quantity, say
from qembed.terminal.pace import DeviceLine, Pace, Window, device_line
from qembed.terminal.visible import escaped_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

LOG_EVERY_SECONDS = 10.0
_LOG_WIDTH = 80
_REDRAWS_PER_SECOND = 5


def make_progress(
    *, quiet: bool = False, every_seconds: float = LOG_EVERY_SECONDS, log_json: bool = False
) -> Progress:
    """The kind of progress that suits where stderr goes.

    Args:
        quiet: Nothing for people.
        every_seconds: Between two lines where stderr is no terminal, and between JSON lines.
        log_json: One JSON object a line, whatever stderr is; also with ``quiet``.
    """
    if log_json:
        return JsonProgress(every_seconds)
    if quiet:
        return Progress()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveProgress()
    return LogProgress(every_seconds)


class CountingProgress(Progress):
    """Counts and times the current phase and its devices."""

    total: int | None
    lines: tuple[DeviceLine, ...]

    def __init__(self) -> None:
        self._begin("", None, "")

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self._begin(name, total, unit)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.done += amount
        self.texts += texts
        self.window.add(monotonic(), self.done, self.texts)

    def expect(self, total: int) -> None:
        self.total = total

    def devices(self, statuses: Sequence[DeviceStatus]) -> None:
        now = monotonic()
        for status in statuses:
            self.window.began(now - max(other.seconds for other in statuses))
            window = self._windows.setdefault(status.device, Window(now - status.seconds))
            window.began(now - status.seconds)
            window.add(now, status.tokens, status.texts)
        self.lines = tuple(device_line(one, self._windows[one.device].pace(now)) for one in statuses)

    def seconds_left(self, pace: Pace) -> float | None:
        """Until the phase is done; None where its total or the pace is unknown."""
        return pace.seconds_left(self.total - self.done) if self.total else None

    def share(self) -> str:
        """How much of the phase is done, e.g. ``25%``; empty while its total is unknown."""
        return f"{min(self.done / self.total, 1):.0%}" if self.total else ""

    def figures(self) -> str:
        """Rates, time left and memory, as far as they are known."""
        pace = self.window.pace(monotonic())
        left, parts = self.seconds_left(pace), []
        if self.done and self.unit:
            rate = file_size(pace.units) if self.unit == "bytes" else f"{quantity(pace.units)} {self.unit}"
            parts.append(f"{rate}/s")
        if self.texts:
            parts.append(f"{_text_rate(pace)} texts/s")
        if left is not None:
            parts.append(f"{duration(left) if left >= 60 else f'{left:.0f} s'} left")
        if self.texts and not self.shows_devices():
            used = self.lines[0].status.memory_used_bytes if self.lines else _memory_bytes()
            parts.append(f"{used / 1e9:.1f} GB")
        return ", ".join(parts)

    def shows_devices(self) -> bool:
        """Whether lines of devices say more than the total: not of one CPU."""
        return len(self.lines) > 1 or any(not line.status.device.startswith("cpu") for line in self.lines)

    def _begin(self, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.texts = 0
        self.started = monotonic()
        self.window = Window(self.started)
        self.lines = ()
        self._windows: dict[str, Window] = {}


class LogProgress(CountingProgress):
    """Plain lines: one when a phase begins, then the total and the devices every few seconds."""

    def __init__(self, every_seconds: float = LOG_EVERY_SECONDS) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._said = self.started

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        super().phase(name, total=total, unit=unit)
        self._said = self.started
        say(f"{name} ({_amount(total, unit)})" if total else name, err=True)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        super().advance(amount, texts=texts)
        if monotonic() - self._said >= self._every_seconds:
            self._said = monotonic()
            part = self.share() or _amount(self.done, self.unit)
            say(f"  {self.name}: {part}, {self.figures()}", err=True)
            for line in self._device_lines():
                say(line, err=True)

    def note(self, message: str) -> None:
        say(f"note: {message}", err=True)

    def _device_lines(self) -> list[str]:
        """As many devices on a line as fit."""
        said: list[str] = []
        for line in self.lines if self.shows_devices() else ():
            parts = [f"{quantity(line.pace.units)} tokens/s"]
            if line.status.state != "running":
                parts = [line.status.state]
            part = f"{line.status.device}: {', '.join([*parts, line.memory, *_trouble(line)])};"
            if said and len(said[-1]) + 1 + len(part) <= _LOG_WIDTH:
                said[-1] += " " + part
            else:
                said.append("    " + part)
        return [line.removesuffix(";") for line in said]


class JsonProgress(CountingProgress):
    """One JSON object a line: ``phase``, ``progress`` (every few seconds and at a phase's end), ``note``,
    ``done``."""

    def __init__(self, every_seconds: float = LOG_EVERY_SECONDS) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._said, self._begun = self.started, self.started
        self._unsaid = self._closed = False

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self._progress_if_new()
        super().phase(name, total=total, unit=unit)
        self._said = self.started
        self._line("phase", phase=name, total=total, unit=unit or None)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        super().advance(amount, texts=texts)
        self._unsaid = True
        if monotonic() - self._said >= self._every_seconds:
            self._progress_if_new()

    def note(self, message: str) -> None:
        self._line("note", phase=self.name or None, message=message)

    def close(self) -> None:
        if not self._closed:
            self._progress_if_new()
            self._line("done", seconds=round(monotonic() - self._begun, 3))
        self._closed = True

    def _progress_if_new(self) -> None:
        if not self._unsaid:
            return
        self._unsaid, self._said = False, monotonic()
        pace = self.window.pace(self._said)
        left = self.seconds_left(pace)
        self._line(
            "progress",
            phase=self.name,
            unit=self.unit or None,
            done=self.done,
            total=self.total,
            per_second=round(pace.units, 1),
            texts=self.texts,
            texts_per_second=round(pace.texts, 3),
            seconds=round(self._said - self.started, 3),
            seconds_left=None if left is None else round(left, 1),
            memory_used_bytes=_memory_bytes(),
            devices=list(map(_device_document, self.lines)),
        )

    @staticmethod
    def _line(event: str, **fields: Any) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        click.echo(escaped_json(orjson.dumps({"time": time, "event": event, **fields}).decode()), err=True)


class LiveProgress(CountingProgress):
    """The total and a table of the devices, redrawn in place and gone at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Any = None

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        super().phase(name, total=total, unit=unit)
        if self._live is None:
            from rich.live import Live

            from qembed.terminal.output import console

            self._live = Live(
                console=console(stderr=True),
                get_renderable=self._render,
                refresh_per_second=_REDRAWS_PER_SECOND,
                transient=True,
                redirect_stdout=False,  # data, never to be drawn on stderr
            )
            self._live.start()

    def note(self, message: str) -> None:
        if self._live is None:
            say(f"note: {message}", err=True)
        else:
            self._live.console.print(f"note: {message}", markup=False)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        """Called from a thread of its own."""
        from rich.console import Group

        return Group(self._total(), _device_table(self.lines)) if self.shows_devices() else self._total()

    def _total(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(ratio=1, min_width=4)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        share = f"{self.share():>4}  " if self.total else ""
        done = "" if self.total or not self.done else f"{_amount(self.done, self.unit)}  "
        bar = ProgressBar(total=self.total, completed=self.done, pulse=self.total is None)
        grid.add_row(Text(self.name), bar, Text(share + done + self.figures()))
        return grid


def _device_table(lines: Sequence[DeviceLine]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True)
    for _ in range(6):
        grid.add_column(justify="right", no_wrap=True)
    names = ("device", "state", "texts/s", "tokens/s", "memory", "budget", "splits", "restarts")
    grid.add_row(*(Text(name, style="dim") for name in names))
    for line in lines:
        status = line.status
        grid.add_row(
            Text(status.device),
            Text(status.state, style={"lost": "red", "running": ""}.get(status.state, "dim")),
            _text_rate(line.pace),
            quantity(line.pace.units),
            line.memory,
            quantity(status.budget_tokens),
            _warning(status.splits),
            _warning(status.restarts),
        )
    return grid


def _device_document(line: DeviceLine) -> dict[str, Any]:
    status, pace = line.status, line.pace
    rates = {"tokens_per_second": round(pace.units, 1), "texts_per_second": round(pace.texts, 3)}
    return {**asdict(status), "seconds": round(status.seconds, 3), **rates}


def _warning(count: int) -> Text:
    from rich.text import Text

    return Text(quantity(count), style="yellow" if count else "")


def _trouble(line: DeviceLine) -> list[str]:
    counted = ((line.status.splits, "split"), (line.status.restarts, "restart"))
    return [f"{count:,} {name}{'s' * (count != 1)}" for count, name in counted if count]


def _amount(number: int, unit: str) -> str:
    return file_size(number) if unit == "bytes" else f"{quantity(number)} {unit}".strip()


def _text_rate(pace: Pace) -> str:
    return f"{pace.texts:.1f}" if pace.texts < 1000 else quantity(pace.texts)


def _memory_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
