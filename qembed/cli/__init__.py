"""The command line: the entry, which knows where each command lives.

A command's module is imported when the command is named; heavy libraries only when it runs.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module

import click

from qembed import __version__
from qembed.errors import EXIT_INTERRUPTED, QembedError
from qembed.kaggle import keep_model_cache_out
from qembed.terminal.options import CommandGroup

COMMANDS = {
    "quickstart": "The main job end to end on the bundled model, offline.",
    "inspect": "What a folder of chunks holds: tokens, truncation, duplicates, findings.",
    "plan": "Memory, batches, time and disk of a run, before it runs.",
    "embed": "Turn chunks into vectors: JSONL, summary and manifest.",
    "audit": "Check a file of embeddings, whichever tool wrote it.",
    "verify": "Embed a sample again, one by one in fp32, and compare.",
    "bench": "Which is better, by how much, and can we tell? Rerankers, BM25, baselines.",
    "report": "One HTML page of a bench, for people who do not program.",
    "sweep": "Do shorter or quantised vectors rank as well? Judged queries tell.",
    "search": "Ask a question of a file of embeddings.",
    "evalset": "Check, describe, convert and draft eval sets.",
    "models": "The catalog of known models.",
    "corpus": "Make chunk folders.",
    "kaggle": "Check a Kaggle session; make a notebook for one.",
}


class LazyGroup(CommandGroup):
    """A group that knows its commands' names and imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Commands in the order in which a newcomer meets them."""
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
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(ctx: click.Context, debug: bool) -> None:
    """Turn folders of text chunks into vectors, prove that they are good, and search them.

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
        click.echo(note, err=True)


def main() -> None:
    """Run the command line and exit with the code that DESIGN's contract gives each outcome."""
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
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        _explain(_unforeseen(error), arguments)
        return 1
    return result if isinstance(result, int) else 0


def _of_click(error: click.ClickException) -> QembedError:
    """What click says of a command line, in the style of all other errors."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return QembedError(
        error.format_message(), remedy=f"see {context.command_path} --help" if context else None
    )


def _unforeseen(error: Exception) -> QembedError:
    """An error that no command explains: of the system, of the installation, or else a defect of qembed."""
    message, remedy = f"{type(error).__name__}: {error}", None
    match error:
        case OSError():
            message = f"{error.strerror}: {error.filename}" if error.filename else str(error) or message
        case MemoryError():
            message, remedy = "not enough memory", "free some, or give the command less at a time"
        case ModuleNotFoundError() if error.name and error.name.partition(".")[0] != "qembed":
            message = f"the package {error.name.partition('.')[0]} is not installed"
            remedy = "install qembed-toolkit again, with what it needs"
        case _:
            remedy = "this is a defect of qembed: please report it with what `qembed --debug ...` prints"
    made = QembedError(message, remedy=remedy)
    made.__cause__ = error
    return made


def _explain(error: QembedError, arguments: list[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exception(error)
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(error.message, err=True)
    if error.where:
        click.echo(f"where: {error.where}", err=True)
    if error.remedy:
        click.echo(f"next:  {error.remedy}", err=True)
