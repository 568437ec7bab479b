"""What was judged, by id: chunks, or embeddings of them, with their pages and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Final, NamedTuple

from qembed.corpus import CorpusOptions, page_id, read_chunks
from qembed.progress import Progress
from qembed.records import Finding
from qembed.store import BadLine, find_embeddings, read_records, written_files

BEIR_CORPUS: Final = "corpus.jsonl"


class CorpusItem(NamedTuple):
    """One chunk.

    Attributes:
        chunk_id: Its id.
        page_id: ``{subdirectory}/{filename}``.
        text: What it says; empty where embeddings come without texts.
    """

    chunk_id: str
    page_id: str
    text: str


def corpus_items(
    corpus: Path, options: CorpusOptions, on_unreadable: Callable[[Finding | BadLine], None]
) -> Iterator[CorpusItem]:
    """Every chunk of a folder or file of chunks, or of embeddings where the path is of those.

    Raises:
        InputNotFound: There is nothing.
    """
    embedded = corpus.suffix in (".parquet", ".npy") or corpus.name.endswith(
        ("_embeddings.jsonl", ".ids.jsonl")
    )
    if not embedded and not written_files(corpus):
        for chunk in read_chunks(corpus, options, on_finding=on_unreadable):
            page = page_id(str(chunk.metadata["subdirectory"]), str(chunk.metadata["filename"]))
            yield CorpusItem(chunk.id, page, chunk.text)
        return
    for part in find_embeddings(corpus).parts:
        for record in read_records(part):
            if isinstance(record, BadLine):
                on_unreadable(record)
                continue
            names = (str(record.metadata.get(key, "")) for key in ("subdirectory", "filename"))
            yield CorpusItem(str(record.id), page_id(*names), record.text or "")


def texts_of(
    corpus: Path, wanted: Set[str], options: CorpusOptions, *, progress: Progress = Progress()
) -> dict[str, str]:
    """Text of each wanted chunk; of a wanted page, the texts of its chunks. What is not there is left out.

    Args:
        corpus: As ``corpus_items``.
        wanted: Ids of chunks or pages.
        options: How chunks are read.
        progress: Receives the progress of every chunk.

    Raises:
        InputNotFound: There is nothing.
    """
    found: dict[str, list[str]] = {}
    progress.phase("reading the corpus", unit="chunks")
    try:
        for chunk, page, text in corpus_items(corpus, options, lambda _: None):
            progress.advance(1)
            for name in {chunk, page} & wanted if text else ():
                found.setdefault(name, []).append(text)
    finally:
        progress.close()
    return {name: "\n\n".join(texts) for name, texts in found.items()}
