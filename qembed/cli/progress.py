"""Progress on stderr: a live line on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

import click

from qembed.cli.output import duration, quantity
from qembed.progress import Progress

LOG_EVERY_SECONDS = 10.0


def make_progress(*, quiet: bool = False) -> Progress:
    """The right kind for where stderr goes."""
    if quiet:
        return Progress()
    return LiveProgress() if sys.stderr.isatty() else LogProgress()


class _Rates(Progress):
    """Counts and times the current phase."""

    def __init__(self) -> None:
        self.name, self.unit = "", ""
        self.total: int | None = None
        self.done = self.texts = 0
        self.started = monotonic()

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.texts = 0
        self.started = monotonic()

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.done += amount
        self.texts += texts

    def status(self) -> str:
        """Rates, time left and memory, as far as they are known."""
        seconds = max(monotonic() - self.started, 1e-6)
        rate = self.done / seconds
        parts = [f"{quantity(rate)} {self.unit}/s"] if self.done and self.unit else []
        if self.texts:
            parts.append(f"{self.texts / seconds:.1f} texts/s")
        if self.total and self.done:
            parts.append(f"{duration(max(self.total - self.done, 0) / rate)} left")
        if self.texts:
            parts.append(f"{_memory_gb():.1f} GB")
        return ", ".join(parts)


class LogProgress(_Rates):
    """Plain lines: one when a phase begins, then one every ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._said = 0.0

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        super().phase(name, total=total, unit=unit)
        self._said = monotonic()
        click.echo(f"{name} ({quantity(total)} {unit})" if total else name, err=True)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        super().advance(amount, texts=texts)
        if monotonic() - self._said >= LOG_EVERY_SECONDS:
            self._said = monotonic()
            part = f"{self.done / self.total:.0%}" if self.total else quantity(self.done)
            click.echo(f"  {self.name}: {part}, {self.status()}", err=True)

    def note(self, message: str) -> None:
        click.echo(f"note: {message}", err=True)


class LiveProgress(_Rates):
    """One line that is redrawn."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._task: Any = None

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        super().phase(name, total=total, unit=unit)
        if self._bar is None:
            self._bar = self._make()
            self._bar.start()
        else:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total, status="")

    def advance(self, amount: int, *, texts: int = 0) -> None:
        super().advance(amount, texts=texts)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, status=self.status())

    def note(self, message: str) -> None:
        if self._bar is not None:
            self._bar.console.print(f"note: {message}", markup=False)
        else:
            click.echo(f"note: {message}", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.remove_task(self._task)
            self._bar.stop()
            self._bar = None

    @staticmethod
    def _make() -> Any:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars

        from qembed.cli.output import console

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}", markup=False),
        )
        return Bars(*columns, console=console(stderr=True), transient=True)


def _memory_gb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e9
