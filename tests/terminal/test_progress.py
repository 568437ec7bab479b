"""Progress goes to stderr: plain lines in a log, one live line on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import encode, some_texts

from qembed.engine import RunPlan
from qembed.progress import DeviceState, DeviceStatus, Progress
from qembed.terminal import progress as showing
from qembed.terminal.pace import WINDOW_SECONDS
from qembed.terminal.progress import CountingProgress, JsonProgress, LiveProgress, LogProgress, make_progress

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only when the test says so."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(showing, "monotonic", lambda: clock.now)
    return clock


def status(
    device: str,
    *,
    state: DeviceState = "running",
    texts: int = 0,
    tokens: int = 0,
    seconds: float = 0.0,
    total: int = 15_828_320_256,
    splits: int = 0,
    restarts: int = 0,
) -> DeviceStatus:
    used = 13_200_000_000
    return DeviceStatus(
        device, "Tesla T4", state, texts, tokens, seconds, used, total, 24_576, splits, restarts
    )


def progress_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("  ")]


class TestPace:
    """Rates and the time left, which every kind of progress shows."""

    @pytest.fixture
    def encoding(self, clock: SimpleNamespace) -> CountingProgress:
        counting = CountingProgress()
        counting.phase("encoding", total=100_000, unit="tokens")
        return counting

    def left(self, counting: CountingProgress, clock: SimpleNamespace) -> float | None:
        return counting.seconds_left(counting.window.pace(clock.now))

    def test_unknown_before_the_first_batch(self, encoding: CountingProgress, clock: SimpleNamespace) -> None:
        clock.now += 30
        assert self.left(encoding, clock) is None
        assert encoding.figures() == ""

    def test_long_texts_first_do_not_mislead(
        self, encoding: CountingProgress, clock: SimpleNamespace
    ) -> None:
        """100 tokens a second throughout; 1 text a second at first, 10 later."""
        for texts in [1] * 400 + [10] * 100:
            clock.now += 1
            encoding.advance(100, texts=texts)
        pace = encoding.window.pace(clock.now)
        assert (pace.units, pace.texts) == pytest.approx((100, 10))
        assert self.left(encoding, clock) == pytest.approx(500)

    def test_only_the_last_minute_counts(self, encoding: CountingProgress, clock: SimpleNamespace) -> None:
        for tokens in [10] * 300 + [200] * 90:
            clock.now += 1
            encoding.advance(tokens)
        assert encoding.window.pace(clock.now).units == pytest.approx(200)

    def test_many_small_batches_are_a_few_samples(
        self, encoding: CountingProgress, clock: SimpleNamespace
    ) -> None:
        for _ in range(100_000):
            clock.now += 0.001
            encoding.advance(1)
        assert encoding.window.pace(clock.now).units == pytest.approx(1000, rel=0.01)
        assert len(encoding.window._samples) <= 2 + WINDOW_SECONDS * 4

    def test_the_time_left_counts_down_between_batches(
        self, encoding: CountingProgress, clock: SimpleNamespace
    ) -> None:
        for _ in range(10):
            clock.now += 5
            encoding.advance(5000)
        assert self.left(encoding, clock) == pytest.approx(50)
        clock.now += 4
        assert self.left(encoding, clock) == pytest.approx(46)

    def test_when_nothing_comes_the_pace_falls(
        self, encoding: CountingProgress, clock: SimpleNamespace
    ) -> None:
        clock.now += 10
        encoding.advance(10_000)
        clock.now += WINDOW_SECONDS - 1
        assert encoding.window.pace(clock.now).units == pytest.approx(1000)
        clock.now += 31
        assert encoding.window.pace(clock.now).units == pytest.approx(250)

    def test_loading_is_no_work(self, encoding: CountingProgress, clock: SimpleNamespace) -> None:
        """The weights take 90 s; the first batch is done 10 s later."""
        clock.now += 100
        encoding.advance(10_000, texts=10)
        encoding.devices([status("cuda:0", state="loading"), status("cuda:1", tokens=10_000, seconds=10)])
        assert self.left(encoding, clock) == pytest.approx(90)
        assert encoding.lines[1].pace.units == pytest.approx(1000)
        assert encoding.lines[0].pace.units == 0

    def test_a_device_goes_its_own_pace(self, encoding: CountingProgress, clock: SimpleNamespace) -> None:
        for n in range(1, 208):
            clock.now += 1
            fast = 500 * (n // 8 * 8)  # a batch takes it eight seconds
            encoding.devices(
                [
                    status("cuda:0", tokens=100 * n, texts=n, seconds=n),
                    status("cuda:1", tokens=fast, texts=n // 8, seconds=n),
                ]
            )
        first, second = encoding.lines
        assert (first.pace.units, first.pace.texts) == pytest.approx((100, 1))
        assert (second.pace.units, second.pace.texts) == pytest.approx((500, 0.125))

    @pytest.mark.parametrize("state", ["loading", "lost", "done"])
    def test_a_device_that_does_not_run_has_no_pace(
        self, encoding: CountingProgress, clock: SimpleNamespace, state: DeviceState
    ) -> None:
        clock.now += 10
        encoding.devices([status("cuda:0", state=state, tokens=1000, seconds=10)])
        assert encoding.lines[0].pace.units == 0

    def test_a_phase_begins_anew(self, encoding: CountingProgress, clock: SimpleNamespace) -> None:
        clock.now += 10
        encoding.advance(100, texts=1)
        encoding.devices([status("cuda:0", tokens=100, seconds=10)])
        encoding.phase("writing", total=50, unit="chunks")
        assert (encoding.done, encoding.texts, encoding.lines) == (0, 0, ())
        assert self.left(encoding, clock) is None


class TestWholeRun:
    """A run of the engine through each class of the command line: its total is known only as it goes."""

    @pytest.fixture
    def run(self, tmp_path: Path, clock: SimpleNamespace) -> Callable[[CountingProgress], None]:
        def run(progress: CountingProgress) -> None:
            progress.phase("encoding", unit="tokens")

            def a_second_later(_: int) -> None:
                clock.now += 1

            texts = some_texts(1000)
            plan = RunPlan(1000, 200, window_texts=100)
            sizes = np.array([len(text) for text in texts])
            encode(texts, tmp_path, plan=plan, sizes=sizes, progress=progress, on_rows=a_second_later)

        return run

    def test_in_a_log(
        self, run: Callable[[CountingProgress], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(LogProgress(every_seconds=1))
        lines = progress_lines(capsys.readouterr().err)
        assert len(lines) >= 5
        assert all(re.search(r"encoding: \d+%, .* tokens/s, .* left", line) for line in lines)
        shares = [int(re.findall(r"(\d+)%", line)[0]) for line in lines]
        assert shares == sorted(shares)
        assert 5 <= shares[0] <= 25
        assert shares[-1] >= 90

    def test_as_json(
        self, run: Callable[[CountingProgress], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        progress = JsonProgress(every_seconds=1)
        run(progress)
        progress.close()
        told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        told = [line for line in told if line["event"] == "progress"]
        assert len(told) >= 5
        assert all(line["seconds_left"] is not None and line["total"] for line in told)
        assert told[0]["seconds_left"] > told[-1]["seconds_left"]
        assert told[-1]["done"] == told[-1]["total"]

    def test_on_a_terminal(self, run: Callable[[CountingProgress], None]) -> None:
        from rich.console import Console

        shown: list[str] = []

        class Watched(LiveProgress):
            def devices(self, statuses: Sequence[DeviceStatus]) -> None:
                super().devices(statuses)
                out = io.StringIO()
                Console(file=out, width=80, color_system=None).print(self._render())
                shown.append(out.getvalue())

        progress = Watched()
        run(progress)
        progress.close()
        assert re.search(r"\b[1-9]\d?%  .* left", shown[len(shown) // 2])
        assert "100%" in shown[-1]


class TestLog:
    def test_plain_lines_on_stderr_only(
        self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
    ) -> None:
        log = LogProgress()
        log.phase("reading chunks", unit="chunks")
        log.advance(5)
        log.phase("encoding", total=1000, unit="tokens")
        clock.now += 5
        log.advance(100, texts=3)
        clock.now += 5
        log.advance(150, texts=7)
        log.note("the model differs [from] the catalog")
        log.close()
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "\x1b" not in captured.err
        lines = captured.err.splitlines()
        assert lines[:2] == ["reading chunks", "encoding (1,000 tokens)"]
        assert lines[2].startswith("  encoding: 25%, 25 tokens/s, 1.0 texts/s, 30 s left, ")
        assert lines[2].endswith(" GB")
        assert lines[3:] == ["note: the model differs [from] the catalog"]

    def test_a_line_every_ten_seconds_and_no_more(
        self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
    ) -> None:
        log = LogProgress()
        log.phase("reading chunks", unit="chunks")
        for _ in range(350):
            clock.now += 0.1
            log.advance(1)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 4
        assert "reading chunks: " in lines[1]
        assert "chunks/s" in lines[1]
        assert "left" not in lines[1]  # no total, no time left

    def test_more_than_the_total(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        log = LogProgress()
        log.phase("writing", total=10, unit="chunks")
        clock.now += 20
        log.advance(256)
        assert "0 s left" in capsys.readouterr().err

    def test_every_n_seconds(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        log = LogProgress(every_seconds=2.5)
        log.phase("reading chunks", unit="chunks")
        for _ in range(10):
            clock.now += 1
            log.advance(1)
        assert len(progress_lines(capsys.readouterr().err)) == 3

    def test_bytes_are_said_in_units(
        self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
    ) -> None:
        log = LogProgress()
        log.phase("reading", total=4_000_000_000, unit="bytes")
        clock.now += 10
        log.advance(1_000_000_000)
        assert capsys.readouterr().err.splitlines() == [
            "reading (4 GB)",
            "  reading: 25%, 100 MB/s, 30 s left",
        ]

    def lines_of(
        self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace, *devices: DeviceStatus
    ) -> list[str]:
        log = LogProgress()
        log.phase("encoding", total=10_000, unit="tokens")
        clock.now += 9
        log.devices(devices)
        clock.now += 1
        log.advance(1000, texts=4)
        return progress_lines(capsys.readouterr().err)

    def test_devices_in_little_room(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        total, *devices = self.lines_of(
            capsys,
            clock,
            status("cuda:0", tokens=900, seconds=9),
            status("cuda:1", tokens=1800, seconds=9, splits=2, restarts=1),
            status("cuda:2", state="lost", restarts=3),
            status("cuda:3", state="loading"),
        )
        assert total == "  encoding: 10%, 100 tokens/s, 0.4 texts/s, 1 min 30 s left"
        assert devices == [
            "    cuda:0: 100 tokens/s, 13.2/15.8 GB",
            "    cuda:1: 200 tokens/s, 13.2/15.8 GB, 2 splits, 1 restart",
            "    cuda:2: lost, 13.2/15.8 GB, 3 restarts; cuda:3: loading, 13.2/15.8 GB",
        ]

    def test_one_cpu_is_one_line(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        lines = self.lines_of(capsys, clock, status("cpu", tokens=900, seconds=9))
        assert lines == ["  encoding: 10%, 100 tokens/s, 0.4 texts/s, 1 min 30 s left, 13.2 GB"]

    def test_memory_of_unknown_size(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        lines = self.lines_of(capsys, clock, status("mps", tokens=900, seconds=9, total=0))
        assert lines[1] == "    mps: 100 tokens/s, 13.2 GB"


class TestJson:
    def run(self, clock: SimpleNamespace, read: Callable[[], Any]) -> list[dict[str, Any]]:
        log = JsonProgress(every_seconds=10)
        log.phase("loading [a] model")
        log.phase("encoding", total=10_000, unit="tokens")
        for _ in range(25):
            clock.now += 1
            log.advance(100, texts=2)
            log.devices([status("cuda:0", tokens=log.done, texts=log.texts, seconds=clock.now - 1000)])
        log.note("out of memory\nhalved")
        log.phase("writing", total=5, unit="chunks")
        clock.now += 1
        log.advance(5)
        log.close()
        log.close()
        captured = read()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    def test_every_line_is_an_event(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        lines = self.run(clock, capsys.readouterr)
        events = [(line["event"], line.get("phase"), line.get("done")) for line in lines]
        assert events == [
            ("phase", "loading [a] model", None),
            ("phase", "encoding", None),
            ("progress", "encoding", 1000),
            ("progress", "encoding", 2000),
            ("note", "encoding", None),
            ("progress", "encoding", 2500),  # what a phase ended with is always said
            ("phase", "writing", None),
            ("progress", "writing", 5),
            ("done", None, None),
        ]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line["time"]) for line in lines)
        assert lines[4]["message"] == "out of memory\nhalved"
        assert lines[-1]["seconds"] == 26

    def test_all_numbers(self, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
        lines = self.run(clock, capsys.readouterr)
        told = lines[3]
        assert told.pop("time")
        assert told.pop("memory_used_bytes") > 0
        (device,) = told.pop("devices")
        assert told == {
            "event": "progress",
            "phase": "encoding",
            "unit": "tokens",
            "done": 2000,
            "total": 10_000,
            "per_second": 100.0,
            "texts": 40,
            "texts_per_second": 2.0,
            "seconds": 20.0,
            "seconds_left": 80.0,
        }
        assert device == {
            "device": "cuda:0",
            "name": "Tesla T4",
            "state": "running",
            "texts": 38,
            "tokens": 1900,
            "seconds": 19.0,
            "memory_used_bytes": 13_200_000_000,
            "memory_total_bytes": 15_828_320_256,
            "budget_tokens": 24_576,
            "splits": 0,
            "restarts": 0,
            "peak_host_bytes": 0,
            "peak_device_bytes": 0,
            "tokens_per_second": 100.0,
            "texts_per_second": 2.0,
        }


class TestLiveTable:
    def shown(self, clock: SimpleNamespace, count: int, kind: str = "cuda", width: int = 80) -> list[str]:
        from rich.console import Console

        live = LiveProgress()
        CountingProgress.phase(live, "encoding", total=90_000_000, unit="tokens")
        for second in range(1, 3):
            clock.now += 1
            live.advance(1_234_567, texts=9_999)
            states: list[DeviceState] = ["running", "loading", "lost", "done"]
            live.devices(
                [
                    status(
                        f"{kind}:{n}",
                        state=states[n % 4],
                        tokens=154_320 * second,
                        texts=1_249 * second,
                        seconds=second,
                        splits=n,
                        restarts=n,
                        total=143_771_000_000,
                    )
                    for n in range(count)
                ]
            )
        out = io.StringIO()
        Console(file=out, width=width, color_system=None).print(live._render())
        return out.getvalue().splitlines()

    @pytest.mark.parametrize("count", range(1, 9))
    def test_all_of_it_fits_80_columns(self, clock: SimpleNamespace, count: int) -> None:
        total, head, *devices = self.shown(clock, count)
        assert "1,234,567 tokens/s, 9,999 texts/s, 1 min 11 s left" in total
        assert total.startswith("encoding ")
        assert "  3%" in total
        assert head.split() == [
            *("device", "state", "texts/s", "tokens/s", "memory", "budget", "splits", "restarts")
        ]
        assert len(devices) == count
        assert devices[0].split() == [
            *("cuda:0", "running", "1,249", "154,320", "13.2/143.8", "GB", "24,576", "0", "0")
        ]
        assert all(len(line) <= 80 and "…" not in line for line in (total, head, *devices))

    def test_one_cpu_is_one_line(self, clock: SimpleNamespace) -> None:
        (total,) = self.shown(clock, 1, "cpu")
        assert total.rstrip().endswith("left, 13.2 GB")

    @pytest.mark.parametrize("width", [1, 7, 20, 40])
    def test_where_it_does_not_fit_it_is_cut(self, clock: SimpleNamespace, width: int) -> None:
        lines = self.shown(clock, 8, width=width)
        assert len(lines) == 10  # nothing is wrapped
        assert all(len(line) <= width for line in lines)


class TestChoice:
    def test_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        silent = make_progress(quiet=True)
        assert type(silent) is Progress
        silent.phase("x", total=1, unit="y")
        silent.advance(1, texts=1)
        silent.note("x")
        silent.devices([status("cpu")])
        silent.close()
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("terminal", "kind"), [(True, LiveProgress), (False, LogProgress)])
    def test_by_where_stderr_goes(self, monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: type) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
        assert type(make_progress()) is kind
        assert type(make_progress(quiet=True, log_json=True)) is JsonProgress

    def test_a_terminal_that_cannot_redraw(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
        assert type(make_progress()) is LogProgress


LIVE = """
import time
from qembed.terminal.progress import LiveProgress, make_progress
from qembed.progress import DeviceStatus
progress = make_progress()
assert type(progress) is LiveProgress
progress.note("before any phase")
progress.advance(1)
progress.phase("reading chunks", unit="chunks")
for _ in range(300): progress.advance(1)
time.sleep(0.3)
progress.note("the model [differs]")
progress.phase("encoding", total=500, unit="tokens")
for _ in range(50): progress.advance(10, texts=1)
lost = DeviceStatus("cuda:1", "Tesla T4", "lost", 50, 500, 1.0, 13_200_000_000, 0, 4096, 3, 3)
progress.devices([lost])
time.sleep(0.5)  # it is redrawn five times a second
print("data")
progress.close()
progress.close()
"""


def on_a_terminal(script: str, columns: str = "80", **more: str) -> tuple[int, bytes, str]:
    """Run a script whose stderr is a terminal: exit code, stdout, what the terminal showed."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals")
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": columns}
    environment.pop("NO_COLOR", None)
    environment.update(more)
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the child has closed its end
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    out, _ = child.communicate(timeout=60)
    return child.returncode, out, shown.decode()


@pytest.mark.parametrize("columns", ["80", "20", "1"])
def test_live_on_a_terminal(columns: str) -> None:
    code, out, shown = on_a_terminal(LIVE, columns)
    assert code == 0, shown
    assert out == b"data\n"  # nothing but data on stdout
    assert "\x1b[" in shown
    if columns == "80":
        assert "reading chunks" in shown
        assert "note: the model [differs]" in shown
        assert "100%" in shown
        assert "tokens/s" in shown
        assert "cuda:1" in shown
        assert "\x1b[31mlost" in shown  # red


def test_no_colours_where_they_are_not_wanted() -> None:
    code, _, shown = on_a_terminal(LIVE, NO_COLOR="1")
    assert code == 0
    assert "lost" in shown
    assert not re.search(r"\x1b\[[\d;]*3\d[\d;]*m", shown)


def test_a_name_with_brackets_is_no_markup() -> None:
    """A model's folder may be called anything."""
    code, _, shown = on_a_terminal(LIVE.replace("reading chunks", "loading /models/[/x]"))
    assert code == 0
    assert "loading /models/[/x]" in shown


def test_without_a_terminal_there_are_no_control_characters(tmp_path: Path) -> None:
    script = LIVE.replace("assert type(progress) is LiveProgress", "")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    assert done.stdout == b"data\n"
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr
