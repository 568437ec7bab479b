"""The command line as a whole: exit codes, what errors say and where, help texts to the letter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from qembed import __version__, errors
from qembed.cli import COMMANDS, group
from qembed.commands.inspect.cli import command as inspect_command
from qembed.errors import QembedError
from qembed.terminal.options import AdvancedCommand, AdvancedOption

Run = Callable[..., Any]


def all_errors(base: type[QembedError] = QembedError) -> Iterator[type[QembedError]]:
    yield base
    for below in base.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from all_errors(below)


def command_lines(command: click.Command = group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from command_lines(inner, (*path, name))


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``qembed inspect`` end with an exception."""

    def prepare(error: BaseException) -> None:
        def fail(**_: Any) -> None:
            raise error

        monkeypatch.setattr(inspect_command, "callback", fail)

    return prepare


class TestExitCodes:
    def test_of_the_errors(self) -> None:
        codes = {error.__name__: error.exit_code for error in all_errors()}
        assert codes == {
            "QembedError": 1,
            "UsageError": 2,
            "InputNotFound": 2,
            "OutputExists": 2,
            "CheckFailed": 3,
            "DuplicateIds": 3,
            "TimeLimitReached": 3,
            "Unreachable": 4,
            "ModelUnreachable": 4,
            "Mismatch": 5,
            "DimensionMismatch": 5,
        }

    def test_the_tree_at_the_top_of_the_file_is_the_tree(self) -> None:
        drawn = {}
        for line in (errors.__doc__ or "").splitlines():
            words = line.strip(" │├└─").split()
            if len(words) > 2 and words[1].isdigit() and hasattr(errors, words[0]):
                drawn[words[0]] = int(words[1])
        assert drawn == {error.__name__: error.exit_code for error in all_errors()}

    @pytest.mark.parametrize("kind", list(all_errors()), ids=lambda kind: kind.__name__)
    def test_of_the_command_line(
        self, raising: Callable[..., None], run_cli: Run, kind: type[QembedError]
    ) -> None:
        raising(kind("It broke.", where="a.json, line 3", remedy="mend it"))
        code, out, err = run_cli(["inspect", "."])
        assert code == kind.exit_code
        assert out == ""
        assert err == "error: It broke.\nwhere: a.json, line 3\nnext:  mend it\n"

    def test_only_what_is_known_is_said(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(QembedError("It broke."))
        assert run_cli(["inspect", "."]).err == "error: It broke.\n"

    def test_success(self, run_cli: Run, tmp_path: Path, write_chunks: Callable[..., Path]) -> None:
        write_chunks(tmp_path / "eco", {"docs/a": ["text"]})
        assert run_cli(["inspect", tmp_path / "eco"]).code == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ["nothing"],
            ["inspekt", "."],
            ["--nothing"],
            ["inspect"],
            ["inspect", ".", "--nothing"],
            ["inspect", ".", "--limit", "0"],
            ["inspect", ".", "--limit", "many"],
            ["inspect", ".", "--id-from", "title"],
            ["inspect", ".", "more"],
            ["models", "nothing"],
            ["inspect", "/no/such/folder"],
        ],
        ids=" ".join,
    )
    def test_usage(self, run_cli: Run, arguments: list[str]) -> None:
        code, out, err = run_cli(arguments)
        assert (code, out) == (2, "")
        lines = err.removeprefix("reading chunks\n").splitlines()
        assert lines[0].startswith("error: ")
        assert lines[-1].startswith("next:  ")
        assert all(line.startswith(("error: ", "where: ", "next:  ")) for line in lines)

    def test_interrupted(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(KeyboardInterrupt())
        code, out, err = run_cli(["inspect", "."])
        assert (code, out, err.strip()) == (130, "", "interrupted")

    def test_aborted_prompt(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(click.exceptions.Abort())
        assert run_cli(["inspect", "."]).code == 130

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_interrupted_by_a_signal(self, tmp_path: Path) -> None:
        code = (
            "import time\n"
            "from qembed.commands.inspect import cli as inspect\n"
            "from qembed.cli import main\n"
            "def wait(**_):\n"
            "    print('ready', flush=True)\n"
            "    time.sleep(60)\n"
            "inspect.command.callback = wait\n"
            "import sys; sys.argv = ['qembed', 'inspect', '.']\n"
            "main()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()
        assert (process.returncode, err.strip()) == (130, "interrupted")


class TestUnexpected:
    def test_no_traceback_but_a_request(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(ZeroDivisionError("division by zero"))
        code, out, err = run_cli(["inspect", "."])
        assert (code, out) == (1, "")
        assert err.startswith("error: ZeroDivisionError: division by zero\nnext:  ")
        assert "report" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (PermissionError(13, "Permission denied", "out/a.jsonl"), "Permission denied: out/a.jsonl"),
            (ConnectionError("gone"), "gone"),
            (TimeoutError(), "TimeoutError: "),
            (MemoryError(), "not enough memory"),
            (RuntimeError("can't start new thread"), "the system gives no more threads"),
            (
                OSError(24, "Too many open files", "a.json"),
                "Too many open files: a.json\nnext:  raise the limit",
            ),
            (
                ModuleNotFoundError("No module named 'rich.table'", name="rich.table"),
                "the package rich is not",
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_is_no_defect_of_qembed(
        self, raising: Callable[..., None], run_cli: Run, error: Exception, said: str
    ) -> None:
        raising(error)
        code, out, err = run_cli(["inspect", "."])
        assert (code, out) == (1, "")
        assert err.startswith(f"error: {said}")
        assert "defect" not in err

    def test_a_module_of_qembed_that_is_missing_is_a_defect(
        self, raising: Callable[..., None], run_cli: Run
    ) -> None:
        raising(ModuleNotFoundError("No module named 'qembed.x'", name="qembed.x"))
        assert "defect of qembed" in run_cli(["inspect", "."]).err

    def test_debug_shows_the_traceback(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(ZeroDivisionError("division by zero"))
        code, out, err = run_cli(["--debug", "inspect", "."])
        assert (code, out) == (1, "")
        assert "Traceback (most recent call last)" in err
        assert "ZeroDivisionError" in err

    def test_debug_shows_that_of_a_known_error_too(self, raising: Callable[..., None], run_cli: Run) -> None:
        raising(errors.Unreachable("gone"))
        code, _, err = run_cli(["--debug", "inspect", "."])
        assert code == 4
        assert "Traceback" in err
        assert err.endswith("error: gone\n")

    @pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
    @pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]], ids=" ".join)
    def test_a_reader_that_goes_away(self, arguments: list[str]) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "qembed", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, "")


class TestWhatIsPrinted:
    def test_version(self, run_process: Run) -> None:
        assert run_process(["--version"]) == (0, f"qembed, version {__version__}\n", "")

    def test_nothing_asked_shows_the_help(self, run_process: Run) -> None:
        code, out, err = run_process([])
        assert code == 2
        assert "Usage: qembed" in out + err

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_help_lists_every_command(self, run_cli: Run, flag: str) -> None:
        code, out, err = run_cli([flag])
        assert (code, err) == (0, "")
        for name, about in COMMANDS.items():
            assert f"  {name} " in out
            assert about.split()[0] in out

    def test_the_list_says_what_the_commands_say(self) -> None:
        context = click.Context(group)
        assert group.list_commands(context) == list(COMMANDS)
        for name in COMMANDS:
            command = group.get_command(context, name)
            assert command is not None
            assert command.name in (name, "command")

    @pytest.mark.parametrize("path", list(command_lines()), ids=lambda path: " ".join(("qembed", *path)))
    def test_help_to_the_letter(
        self, run_cli: Run, golden: Callable[[str, str], None], path: tuple[str, ...]
    ) -> None:
        code, out, err = run_cli([*path, "--help"])
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
        golden("_".join(("help", *path)), out)


class TestAdvanced:
    def test_rare_options_come_last(self, run_cli: Run) -> None:
        usual, _, rare = run_cli(["bench", "--help"]).out.partition("\nAdvanced:\n")
        assert "--seed" in rare
        assert "--seed" not in usual
        assert "--depth" in usual

    def test_every_command_with_a_rare_option_shows_the_section(self) -> None:
        for path in command_lines():
            command: click.Command = group
            for name in path:
                assert isinstance(command, click.Group)
                command = command.get_command(click.Context(command), name) or pytest.fail(name)
            if any(isinstance(option, AdvancedOption) for option in command.params):
                assert isinstance(command, AdvancedCommand), path


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["inspekt", "."], "inspect"),
        (["evalset", "chekc"], "check"),
        (["corpus", "from-markdwn"], "from-markdown"),
    ],
)
def test_did_you_mean(run_cli: Run, arguments: list[str], meant: str) -> None:
    code, out, err = run_cli(arguments)
    assert (code, out) == (2, "")
    assert f"Did you mean {meant}?" in err or f"Did you mean from-package or {meant}?" in err
