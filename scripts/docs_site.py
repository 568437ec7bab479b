"""What `mkdocs build` does beyond mkdocs.yml.

- Pages outside of docs/ (changelog, results, notes on the eval sets, ...) become part of the site. Their
  links, and links to them, are written for the repository and rewritten here for the site.
- `reference/commands.md` is made from the `--help` of every command.
- A page that would fetch anything from another host is a warning, and so ends a strict build.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from qembed.cli import group

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/RESULTS.md",
    "eval_sets/*/NOTES.md",
    "reports/*/report.html",
    "scripts/rerank_example.py",
    "tests/qdrant_stub.py",
)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
FETCHED = re.compile(
    r"""<(?:script|img|iframe|link(?! rel="canonical"))\b[^>]*?\b(?:src|href)=["'](?:https?:)?//[^"']*"""
)

log = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    on_site = page.file.src_uri
    generated = page.file.generated_by is not None
    folder = posixpath.dirname(on_site if generated else f"docs/{on_site}")

    def rewrite(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1])).removeprefix("docs/")
        return f"]({posixpath.relpath(target, posixpath.dirname(on_site) or '.')}"

    return LINK.sub(rewrite, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of whatever a browser would fetch from elsewhere."""
    for found in FETCHED.findall(output):
        log.warning("%s fetches from another host: %s", page.file.src_uri, found)
    return output


def commands_page() -> str:
    """Every command's ``--help``, as a page."""
    parts = ["# Commands", "What `--help` prints."]
    top = click.Context(group, info_name="qembed", terminal_width=80, **group.context_settings)
    for context in _contexts(top):
        parts.append(f"## {context.command_path}\n\n```text\n{context.get_help()}\n```")
    return "\n\n".join(parts) + "\n"


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _contexts(click.Context(inner, parent=context, info_name=name))
