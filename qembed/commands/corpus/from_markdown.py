"""``corpus_from_markdown``: Markdown files as a folder of chunks, one per section, or a few."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from qembed.commands.corpus.folder import all_or_nothing, check_output, token_limit, write_chunks
from qembed.corpus import ROOT, chunk_id, collection_name
from qembed.corpus.markdown import SUFFIXES, Page, Section, read_page
from qembed.corpus.split import CountTokens, Part, Text, split_texts
from qembed.errors import InputNotFound, UsageError

MARKER = ".qembed-from-markdown"
"""Lies in each subfolder that this command made; only folders that have it are ever replaced."""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What was made of one file.

    Attributes:
        name: The page: its path below the input, without suffix.
        source: The file.
        sections: How many have text of their own.
        chunks: Parts that they were split into.
        tokens: Tokens of all chunks, special tokens and repeated headers included.
        file: The chunk file, relative to the output folder.
    """

    name: str
    source: str
    sections: int
    chunks: int
    tokens: int
    file: str


@dataclass(frozen=True, slots=True)
class MarkdownCorpus:
    """What ``corpus_from_markdown`` made.

    Attributes:
        output: The folder.
        collection: First part of every id.
        model: The model whose tokenizer counted.
        max_tokens: Most tokens of a chunk.
        pages: In the order given.
        empty: Files without any text.
        notes: What is odd about a file, by its path.
    """

    output: Path
    collection: str
    model: str
    max_tokens: int
    pages: tuple[PageCounts, ...]
    empty: tuple[str, ...]
    notes: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Source:
    """A file with its place in the corpus.

    Attributes:
        path: The file.
        name: Its path below the input, with ``/``.
        page: What it says.
    """

    path: Path
    name: str
    page: Page

    @property
    def page_name(self) -> str:
        return _page_name(PurePath(self.name))

    @property
    def subdirectory(self) -> str:
        """The first folder below the input, as ``corpus.walk`` has it."""
        first, below, _ = self.page_name.partition("/")
        return first if below else ROOT

    @property
    def stem(self) -> str:
        """The page's name within its subdirectory; dots for deeper folders, since ids name files."""
        return self.page_name.removeprefix(f"{self.subdirectory}/").replace("/", ".")


def corpus_from_markdown(
    inputs: Sequence[Path],
    output: Path,
    *,
    collection: str,
    model: str = "minilm",
    max_tokens: int | None = None,
    force: bool = False,
) -> MarkdownCorpus:
    """Write ``<output>/<subdirectory>/<page>_chunks.json`` for each file.

    The subdirectory is the first folder of the page's path below the input, ``root`` for a page at the top.
    A chunk is called ``{collection}:{subdirectory}:{page}#{anchor}:chunk:{index}``, so the page id that an
    eval set judges, ``{subdirectory}/{page}#{anchor}``, is a section. Every chunk begins with the titles that
    it stands below. Front matter goes into ``metadata.front_matter``.

    Args:
        inputs: Markdown files, and folders that are searched for them (``markdown.SUFFIXES``).
        output: Folder to make. With ``force`` pages of the same name in it are replaced.
        collection: First part of every id.
        model: Its tokenizer counts; its weights are not loaded.
        max_tokens: Most tokens of a chunk; what the model reads when None.
        force: Write into a folder that is not empty.

    Raises:
        InputNotFound: A file does not exist, a folder has no Markdown, or no file has text.
        UsageError: Two files would be one page, a file is not Markdown or not UTF-8, or ``max_tokens``
            cannot be used.
        OutputExists: The folder is not empty, or a subfolder in the way was not made by this function.
        ModelUnreachable: The model's tokenizer is not on this machine.
    """
    from qembed.models.tokens import load_tokenizer

    sources = [_Source(path, name, read_page(_read(path))) for name, path in _files(inputs).items()]
    by_folder: defaultdict[str, list[_Source]] = defaultdict(list)
    for source in sources:
        if source.page.sections:
            by_folder[source.subdirectory].append(source)
    if not by_folder:
        raise InputNotFound(
            "no file has any text", where=", ".join(map(str, inputs)), remedy="name other files"
        )
    output = Path(output)
    collection = collection_name(output, collection)
    check_output(output, list(by_folder), MARKER, force=force)
    counter = load_tokenizer(model)
    limit = token_limit(max_tokens, counter.max_tokens, model)

    def make(name: str, folder: Path) -> list[PageCounts]:
        return _make_folder(by_folder[name], output / name, folder / name, collection, limit, counter.count)

    made = all_or_nothing(list(by_folder), output, make)
    pages = {page.source: page for of_folder in made for page in of_folder}
    return MarkdownCorpus(
        output,
        collection,
        model,
        limit,
        tuple(pages[str(source.path)] for source in sources if source.page.sections),
        tuple(str(source.path) for source in sources if not source.page.sections),
        {str(source.path): source.page.note for source in sources if source.page.note},
    )


def _files(inputs: Sequence[Path]) -> dict[str, Path]:
    """Path of each page below its input, with ``/`` -> its file."""
    found: dict[str, Path] = {}
    pages: dict[str, Path] = {}
    for given in map(Path, inputs):
        for path in _markdown_files(given):
            name = path.relative_to(given).as_posix() if given.is_dir() else path.name
            page = _page_name(PurePath(name))
            if page in pages and not pages[page].samefile(path):
                raise UsageError(
                    f"two files would be the page {page!r}",
                    where=f"{pages[page]} and {path}",
                    remedy="rename one of them, or name the folder that holds both",
                )
            if page not in pages:
                pages[page] = found[name] = path
    return found


def _page_name(path: PurePath) -> str:
    return path.with_suffix("").as_posix()


def _markdown_files(given: Path) -> Iterator[Path]:
    ends = ", ".join(SUFFIXES)
    if given.is_dir():
        paths = sorted(
            path for path in given.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not paths:
            raise InputNotFound(f"{str(given)!r} holds no Markdown files", remedy=f"looked for {ends}")
        yield from paths
    elif not given.exists():
        raise InputNotFound(f"{str(given)!r} does not exist", remedy=f"name files or folders with {ends}")
    elif given.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{str(given)!r} is not a Markdown file by its name",
            remedy=f"convert it (pandoc -t gfm) to a file whose name ends in one of {ends}",
        )
    else:
        yield given


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            "the file is not UTF-8", where=f"{path}, byte {error.start}", remedy="convert it to UTF-8"
        ) from None


def _make_folder(
    sources: Sequence[_Source],
    earlier: Path,
    target: Path,
    collection: str,
    limit: int,
    count_tokens: CountTokens,
) -> list[PageCounts]:
    """One subdirectory; pages of an earlier run that are not made now stay in it."""
    target.mkdir(parents=True)
    (target / MARKER).write_text(
        "made by qembed corpus from-markdown; replaced with --force\n", encoding="utf-8"
    )
    made = [_make_page(source, target, collection, limit, count_tokens) for source in sources]
    for file in earlier.glob("*_chunks.json"):
        if not (target / file.name).exists():
            shutil.copy2(file, target)
    return made


def _make_page(
    source: _Source, target: Path, collection: str, limit: int, count_tokens: CountTokens
) -> PageCounts:
    sections = source.page.sections
    texts = [
        Text(
            section.titles[-1] if section.titles else source.page_name, _title(source, section), section.body
        )
        for section in sections
    ]
    split = split_texts(texts, limit, count_tokens)
    file = target / f"{source.stem}_chunks.json"
    write_chunks(
        file,
        [
            _chunk(source, section, part, index, collection)
            for section, parts in zip(sections, split, strict=True)
            for index, part in enumerate(parts)
        ],
    )
    parts = [part for of_section in split for part in of_section]
    return PageCounts(
        name=source.page_name,
        source=str(source.path),
        sections=len(sections),
        chunks=len(parts),
        tokens=sum(part.tokens for part in parts),
        file=f"{target.name}/{file.name}",
    )


def _title(source: _Source, section: Section) -> str:
    return " > ".join(section.titles) or source.page_name


def _chunk(source: _Source, section: Section, part: Part, index: int, collection: str) -> dict[str, Any]:
    filename = f"{source.stem}#{section.anchor}"
    front_matter: Mapping[str, Any] = (
        {"front_matter": source.page.front_matter} if source.page.front_matter else {}
    )
    return {
        "chunk_id": chunk_id(collection, source.subdirectory, filename, index),
        "content": part.content,
        "metadata": {
            "collection": collection,
            "subdirectory": source.subdirectory,
            "source_file": source.name,
            "filename": filename,
            "chunk_index": index,
            "anchor": section.anchor,
            "title": _title(source, section),
            "line": section.line,
            **front_matter,
        },
    }
