"""The entry of the command line.

A command's module is imported when the command is named, and heavy libraries only when it runs.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module

import click

from qembed import __version__
from qembed.errors import EXIT_INTERRUPTED, QembedError, remedy_of
from qembed.kaggle import keep_model_cache_out
from qembed.terminal.options import CommandGroup
from qembed.terminal.output import say

COMMANDS = {
    "quickstart": "Try everything on a small real collection, offline.",
    "inspect": "Show what a folder of chunks holds: tokens, truncation, duplicates.",
    "plan": "Estimate memory, batches, time and disk before a run.",
    "embed": "Turn chunks into vectors.",
    "audit": "Check a file of embeddings, whichever tool wrote it.",
    "verify": "Embed a sample again in fp32 and compare.",
    "bench": "Compare vectors, rerankers, BM25 and a baseline on judged queries.",
    "compare": "Which run is better? Runs of any tool, on judged queries.",
    "report": "Turn a bench into one HTML page.",
    "sweep": "Measure what shorter or quantised vectors cost in quality.",
    "upload": "Upload embeddings to a Qdrant server.",
    "search": "Search a file of embeddings.",
    "evalset": "Check, convert and draft eval sets; merge judgements.",
    "models": "List the known models.",
    "corpus": "Make chunks from Markdown or Python packages.",
    "kaggle": "Check a Kaggle session; write a notebook for it.",
}


class LazyGroup(CommandGroup):
    """The group of all commands. It imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import ``qembed.commands.<name>.cli`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"qembed.commands.{cmd_name}.cli")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="qembed")
@click.option("--debug", is_flag=True, help="Show the traceback when a command fails.")
@click.pass_context
def group(ctx: click.Context, debug: bool) -> None:
    """Turn folders of text chunks into vectors, measure how well they retrieve, and search them.

    \b
    Examples:
      qembed quickstart
      qembed inspect chunks/ --model minilm
      qembed embed chunks/ -o out/ --model minilm
      qembed audit out/
      qembed bench out/ -e python_api -r maxsim:minilm
      qembed search out/ "how do I filter by payload?"
    """
    ctx.obj = {"debug": debug}
    note = keep_model_cache_out()  # before a command imports huggingface_hub
    if note:
        say(note, err=True)


def main() -> None:
    """Run the command line and exit with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line on ``arguments``; returns the exit code (0, 1, 2, 3, 4, 5 or 130)."""
    try:
        result = group.main(args=arguments, prog_name="qembed", standalone_mode=False)
    except QembedError as error:
        _explain(error, arguments)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _explain(_of_click(error), arguments)
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        say("interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        _explain(_unforeseen(error), arguments)
        return 1
    return result if isinstance(result, int) else 0


def _of_click(error: click.ClickException) -> QembedError:
    """Turn an error of click into one of ours, so that all look alike."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return QembedError(
        error.format_message(), remedy=f"see {context.command_path} --help" if context else None
    )


def _unforeseen(error: Exception) -> QembedError:
    """Explain an error that no command has explained; what is left at the end is a defect of qembed."""
    message, remedy = f"{type(error).__name__}: {error}", None
    match error:
        case OSError():
            message = f"{error.strerror}: {error.filename}" if error.filename else str(error) or message
            remedy = remedy_of(error)
        case RuntimeError() if "can't start new thread" in str(error):
            message = "the system gives no more threads"
            remedy = "raise the limit (ulimit -u), set OMP_NUM_THREADS=1, or close other programs"
        case MemoryError():
            message, remedy = "not enough memory", "close other programs, or process less at a time"
        case ModuleNotFoundError() if error.name and error.name.partition(".")[0] != "qembed":
            message = f"the package {error.name.partition('.')[0]} is not installed"
            remedy = "install qembed-toolkit again together with its dependencies"
        case _:
            remedy = "this is a defect of qembed: please report it with what `qembed --debug ...` prints"
    made = QembedError(message, remedy=remedy)
    made.__cause__ = error
    return made


def _explain(error: QembedError, arguments: list[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exception(error)
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    say(error.message, err=True)
    if error.where:
        say(f"where: {error.where}", err=True)
    if error.remedy:
        say(f"next:  {error.remedy}", err=True)
