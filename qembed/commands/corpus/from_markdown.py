"""``corpus_from_markdown``: Markdown files as a folder of chunks, one a section, or a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qembed.commands.corpus.folder import all_or_nothing, check_output, token_limit, write_chunks
from qembed.corpus import chunk_id, collection_name
from qembed.corpus.markdown import Section, sections_of
from qembed.corpus.split import CountTokens, Part, Text, split_texts
from qembed.errors import InputNotFound, UsageError

MARKER = ".qembed-from-markdown"
"""Lies in each page's folder; only folders that have it are ever replaced."""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What was made of one file.

    Attributes:
        name: The page; the subdirectory of its chunks.
        source: The file.
        sections: With text of their own.
        chunks: Parts that they were split into.
        tokens: Of all chunks, special tokens and repeated headers included.
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
        model: Whose tokenizer counted.
        max_tokens: Of a chunk at most.
        pages: In the order given.
        empty: Files without any text.
    """

    output: Path
    collection: str
    model: str
    max_tokens: int
    pages: tuple[PageCounts, ...]
    empty: tuple[str, ...]


def corpus_from_markdown(
    inputs: Sequence[Path],
    output: Path,
    *,
    collection: str,
    model: str = "minilm",
    max_tokens: int | None = None,
    force: bool = False,
) -> MarkdownCorpus:
    """Write ``<output>/<page>/<page>_chunks.json`` for each file.

    A page is called like its file, without suffix; in a folder, by its path there with dots for slashes. A
    chunk is called ``{collection}:{page}:{anchor}:chunk:{index}``, so the page id that an eval set judges,
    ``{page}/{anchor}``, is a section. Every chunk begins with the titles that it stands below.

    Args:
        inputs: Markdown files, and folders that are searched for ``*.md``.
        output: Folder to make. With ``force`` the pages' subfolders in it are replaced.
        collection: First part of every id.
        model: Its tokenizer counts; its weights are not loaded.
        max_tokens: Tokens of a chunk at most; what the model reads when None.
        force: Write into a folder that is not empty.

    Raises:
        InputNotFound: A file is not there, a folder has no Markdown, or none has text.
        UsageError: Two files would be one page, a file is not UTF-8, or ``max_tokens`` cannot be used.
        OutputExists: The folder is not empty, or a subfolder in the way was not made by this function.
        ModelUnreachable: The model's tokenizer is not here.
    """
    from qembed.models.tokens import load_tokenizer

    files = _pages(inputs)
    sections = {name: sections_of(_read(path)) for name, path in files.items()}
    names = [name for name, found in sections.items() if found]
    if not names:
        raise InputNotFound(
            "no file has any text", where=", ".join(map(str, inputs)), remedy="name other files"
        )
    output = Path(output)
    collection = collection_name(output, collection)
    check_output(output, names, MARKER, force=force)
    counter = load_tokenizer(model)
    limit = token_limit(max_tokens, counter.max_tokens, model)

    def make(name: str, folder: Path) -> PageCounts:
        return _make(name, files[name], sections[name], folder, collection, limit, counter.count)

    made = all_or_nothing(names, output, make)
    empty = tuple(str(files[name]) for name, found in sections.items() if not found)
    return MarkdownCorpus(output, collection, model, limit, made, empty)


def _pages(inputs: Sequence[Path]) -> dict[str, Path]:
    """Name of each page -> its file."""
    found: dict[str, Path] = {}
    for given in map(Path, inputs):
        paths = sorted(given.rglob("*.md")) if given.is_dir() else [given]
        if not paths or not given.exists():
            reason = "holds no Markdown files" if given.is_dir() else "does not exist"
            raise InputNotFound(f"{str(given)!r} {reason}", remedy="name files or folders with *.md")
        for path in paths:
            relative = path.relative_to(given) if given.is_dir() else Path(path.name)
            name = ".".join(relative.with_suffix("").parts)
            if name in found and not found[name].samefile(path):
                raise UsageError(
                    f"two files would be the page {name!r}",
                    where=f"{found[name]} and {path}",
                    remedy="name the folder that holds both",
                )
            found.setdefault(name, path)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("the file is not UTF-8", where=f"{path}, byte {error.start}") from None


def _make(
    name: str,
    source: Path,
    sections: Sequence[Section],
    folder: Path,
    collection: str,
    limit: int,
    count_tokens: CountTokens,
) -> PageCounts:
    texts = [
        Text(section.titles[-1] if section.titles else name, _title(name, section), section.body)
        for section in sections
    ]
    split = split_texts(texts, limit, count_tokens)
    target = folder / name
    target.mkdir(parents=True)
    (target / MARKER).write_text(
        "made by qembed corpus from-markdown; replaced with --force\n", encoding="utf-8"
    )
    file = target / f"{name}_chunks.json"
    write_chunks(
        file,
        [
            _chunk(name, source, section, part, index, collection)
            for section, parts in zip(sections, split, strict=True)
            for index, part in enumerate(parts)
        ],
    )
    parts = [part for of_section in split for part in of_section]
    tokens = sum(part.tokens for part in parts)
    return PageCounts(
        name, str(source), len(sections), len(parts), tokens, file.relative_to(folder).as_posix()
    )


def _title(name: str, section: Section) -> str:
    return " > ".join(section.titles) or name


def _chunk(
    name: str, source: Path, section: Section, part: Part, index: int, collection: str
) -> dict[str, Any]:
    return {
        "chunk_id": chunk_id(collection, name, section.anchor, index),
        "content": part.content,
        "metadata": {
            "collection": collection,
            "subdirectory": name,
            "source_file": f"{name}/{source.name}",
            "filename": section.anchor,
            "chunk_index": index,
            "title": _title(name, section),
            "line": section.line,
        },
    }
