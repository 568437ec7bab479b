"""The documentation: its links, what it documents, and the commands and imports that it shows."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import click
import pytest

import qembed
from qembed.cli import group

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [
    *(
        REPOSITORY / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md")
    ),
    *sorted(REPOSITORY.glob("eval_sets/*/NOTES.md")),
    *sorted(DOCS.rglob("*.md")),
]
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every link that is not an address."""
    for target, anchor in LINK.findall(prose(page)):
        yield (page.parent / unquote(target)).resolve() if target else page, anchor


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page; repeats are numbered."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = sum(1 for other in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other))
        found.add(f"{slug}-{repeats}" if repeats else slug)
    return found


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{target.name} has no heading #{anchor}"


def test_every_page_is_reached_from_the_readme_or_the_index() -> None:
    waiting = [REPOSITORY / "README.md", DOCS / "index.md"]
    reached = set(waiting)
    while waiting:
        found = {target for target, _ in links(waiting.pop()) if target.suffix == ".md"} - reached
        reached |= found
        waiting += sorted(found)
    assert set(PAGES) - reached == set()


def test_the_reference_has_every_public_name() -> None:
    written = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    for name in qembed.__all__:
        module = getattr(getattr(qembed, name), "__module__", "")
        shown = rf"^::: qembed\.({name}|errors)$" if module == "qembed.errors" else rf"^::: qembed\.{name}$"
        assert name == "__version__" or re.search(shown, written, re.MULTILINE), (
            f"add '::: qembed.{name}' to a page of docs/reference"
        )


def test_the_reference_names_nothing_that_is_gone() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for path in re.findall(r"^::: (qembed\S*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            module, _, name = path.rpartition(".")
            there = (
                name in qembed.__all__
                if module == "qembed"
                else hasattr(importlib.import_module(module), name)
            )
            assert there or path == "qembed.errors", f"{page.name}: {path}"


def code_blocks(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        yield block.partition("\n")[2].removesuffix("```")
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", FENCE.sub("", text), re.MULTILINE):
        yield textwrap.dedent(block)


def commands(page: Path) -> Iterator[list[str]]:
    """Arguments of every ``qembed`` command line in a page's code blocks."""
    for block in code_blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*[$!]? ?(qembed .*)", line):
                before_pipe = re.split(r" (?:\||>|>>|&&) ", found[1])[0]
                yield shlex.split(before_pipe, comments=True)[1:]


@each_page
def test_commands_that_are_shown_exist(page: Path) -> None:
    for arguments in commands(page):
        command: click.Command = group
        rest = list(arguments)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            inner = command.get_command(click.Context(command), rest[0])
            assert inner is not None, f"qembed {' '.join(arguments)}"
            command = inner
            rest = rest[1:]
        try:
            # With the group's own names of --help: click keeps the option with the command for good.
            context = click.Context(command, **group.context_settings)
            command.make_parser(context).parse_args(rest)
        except click.UsageError as error:
            pytest.fail(f"qembed {' '.join(arguments)}: {error.format_message()}")


@each_page
def test_imports_that_are_shown_exist(page: Path) -> None:
    for block in code_blocks(page):
        if not re.search(r"^from qembed", block, re.MULTILINE):
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qembed"):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_the_handbook_judges_sections_that_exist(tmp_path: Path) -> None:
    """Who renames a heading renames it in the judgements too."""
    corpus = tmp_path / "handbook"
    qembed.corpus_from_markdown([DOCS, REPOSITORY / "CONTRIBUTING.md"], corpus, collection="handbook")
    checked = qembed.check_eval_set(REPOSITORY / "eval_sets" / "handbook", corpus)
    assert [finding for finding in checked.findings if finding.kind == "unknown-item"] == []


@pytest.fixture(scope="module")
def site() -> SimpleNamespace:
    """``scripts/docs_site.py``, which lies in no package."""
    spec = importlib.util.spec_from_file_location("docs_site", REPOSITORY / "scripts" / "docs_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return SimpleNamespace(**vars(module))


@pytest.mark.parametrize(
    ("on_site", "from_elsewhere", "link", "rewritten"),
    [
        ("bench.md", False, "eval-sets.md#files", "eval-sets.md#files"),
        ("bench.md", False, "../benchmarks/RESULTS.md", "benchmarks/RESULTS.md"),
        ("reference/errors.md", False, "../exit-codes.md", "../exit-codes.md"),
        ("reference/errors.md", False, "../../CHANGELOG.md", "../CHANGELOG.md"),
        ("CONTRIBUTING.md", True, "docs/models.md#tokens", "models.md#tokens"),
        ("benchmarks/RESULTS.md", True, "../docs/rerank.md", "../rerank.md"),
        ("bench.md", False, "https://example.org/a.md", "https://example.org/a.md"),
        ("bench.md", False, "#gates", "#gates"),
    ],
)
def test_links_are_rewritten_for_the_site(
    site: SimpleNamespace, on_site: str, from_elsewhere: bool, link: str, rewritten: str
) -> None:
    file = SimpleNamespace(src_uri=on_site, generated_by="hook" if from_elsewhere else None)
    page = SimpleNamespace(file=file)
    assert site.on_page_markdown(f"see [this]({link}).", page) == f"see [this]({rewritten})."


@pytest.mark.parametrize(
    ("html", "fetches"),
    [
        ('<link rel="stylesheet" href="https://fonts.example.org/css">', True),
        ("<script defer src='//cdn.example.org/a.js'></script>", True),
        ('<img alt="" src="http://example.org/a.png">', True),
        ('<a href="https://example.org/">read</a>', False),
        ('<script src="assets/a.js"></script><img src="images/a.png">', False),
    ],
)
def test_a_page_that_fetches_from_another_host_is_a_warning(
    site: SimpleNamespace, caplog: pytest.LogCaptureFixture, html: str, fetches: bool
) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    assert site.on_post_page(html, page) == html
    assert ("fetches from another host" in caplog.text) == fetches


def test_the_site_shows_the_help_of_every_command(site: SimpleNamespace) -> None:
    page = site.commands_page()
    for heading in ("## qembed\n", "## qembed embed\n", "## qembed evalset draft\n"):
        assert heading in page
    assert max(len(line) for line in page.splitlines()) <= 80
