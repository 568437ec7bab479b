"""Progress goes to stderr: plain lines in a log, one live line on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qembed.cli import progress as showing
from qembed.cli.progress import LiveProgress, LogProgress, make_progress
from qembed.progress import Progress

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only when the test says so."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(showing, "monotonic", lambda: clock.now)
    return clock


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
        assert lines[2].startswith("  encoding: 25%, 25 tokens/s, 1.0 texts/s, 30.0 s left, ")
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
        assert "0.0 s left" in capsys.readouterr().err


class TestChoice:
    def test_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        silent = make_progress(quiet=True)
        assert type(silent) is Progress
        silent.phase("x", total=1, unit="y")
        silent.advance(1, texts=1)
        silent.note("x")
        silent.close()
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("terminal", "kind"), [(True, LiveProgress), (False, LogProgress)])
    def test_by_where_stderr_goes(self, monkeypatch: pytest.MonkeyPatch, terminal: bool, kind: type) -> None:
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
        assert type(make_progress()) is kind


LIVE = """
import time
from qembed.cli.progress import LiveProgress, make_progress
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
time.sleep(0.3)  # it is redrawn ten times a second
progress.close()
progress.close()
print("data")
"""


def on_a_terminal(script: str, columns: str = "80") -> tuple[int, bytes, str]:
    """Run a script whose stderr is a terminal: exit code, stdout, what the terminal showed."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals")
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": columns}
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
