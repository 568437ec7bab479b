"""``qembed evalset judge``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from qembed.terminal.options import JSON


@click.command("judge", short_help="Let a language model grade what nobody has judged.")
@click.argument("bench", metavar="REPORT", type=click.Path(path_type=Path))
@click.option("--judge", "url", metavar="URL", help="Base URL of an OpenAI-compatible endpoint.")
@click.option("--judge-model", "model", metavar="NAME", help="Name of the model there.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("judged-by-model.tsv"),
    show_default=True,
    help="File of grades; a result that it has is not asked again.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most so many results in all, the most decisive first; resuming does not add to them.",
)
@click.option(
    "--check",
    "checks",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    metavar="N",
    help="Number of results judged by people to grade too, to measure how far the model agrees.",
)
@click.option(
    "--price",
    type=float,
    metavar="AMOUNT",
    help="Price per million tokens sent, to show what the run costs before it starts.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before it starts.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@JSON
@click.pass_context
def judge(
    ctx: click.Context,
    bench: Path,
    url: str | None,
    model: str | None,
    output: Path,
    limit: int | None,
    checks: int,
    price: float | None,
    yes: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Let a language model grade the unjudged results of a stored bench, the most decisive first.

    REPORT is the folder of a bench, or the folder of reports (the newest is taken). Without --judge nothing
    is sent: the rubric is printed, and how much would be sent. The key is read from QEMBED_JUDGE_KEY or
    OPENAI_API_KEY. Each grade is written at once, under the name of the model; the same command resumes.
    Models agree with people only moderately: judge a part yourself first. A sample of it (--check) is graded
    too. Once merged, bench and report say how far the model agrees, and which verdicts hold without it.

    Exit code 0: all are graded; 3: some answers were no grade; 4: the endpoint cannot be reached or refuses.

    \b
    Examples:
      qembed evalset judge reports/
      qembed evalset judge reports/0004_mine --judge http://localhost:8000/v1 \\
        --judge-model my-model --limit 200
      qembed evalset merge-judgements my_set judged-by-model.tsv
    """
    from qembed.commands.evalset.judge import judge as run
    from qembed.commands.evalset.judge import judge_plan
    from qembed.commands.evalset.judging_view import judged_document, render_judged, render_plan
    from qembed.evaluation.judge.endpoint import KEY_VARIABLES, Endpoint
    from qembed.terminal.output import aside, print_json, say
    from qembed.terminal.progress import make_progress

    plan = judge_plan(bench, output, limit=limit, checks=checks)
    shown = list(render_plan(plan, price))
    if url is None:
        for line in shown:
            say(line)
        return
    if model is None:
        raise click.UsageError("--judge needs --judge-model NAME")
    aside(*shown)
    if not plan.pairs:
        return
    if not yes:
        click.confirm(f"Send this to {url}?", abort=True, err=True)
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    endpoint = Endpoint(url, model, key)
    progress = make_progress(quiet=quiet or as_json)
    try:
        done = run(plan, endpoint, output, progress=progress)
    finally:
        progress.close()
        endpoint.close()
    if as_json:
        print_json(judged_document(done))
    else:
        for line in render_judged(done):
            say(line)
    if done.unusable:
        ctx.exit(3)
