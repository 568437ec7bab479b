"""``evalset``: check, count, convert and draft eval sets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from qembed.corpus import CorpusOptions, collection_name, read_chunks
from qembed.errors import InputNotFound, OutputExists, UsageError
from qembed.evaluation.eval_sets.authors import LOG
from qembed.evaluation.eval_sets.beir import (
    Form,
    check_qrels_ids,
    read_qrels,
    read_queries,
    write_qrels,
    write_queries,
)
from qembed.evaluation.eval_sets.bundled import QUERIES
from qembed.evaluation.eval_sets.check import check_against, check_queries
from qembed.evaluation.eval_sets.corpora import BEIR_CORPUS, corpus_items
from qembed.evaluation.eval_sets.draft import DEFAULT_QUERIES, Draft, draft
from qembed.evaluation.eval_sets.eval_set import (
    CARD,
    Card,
    EvalSet,
    load_eval_set,
    queries_file,
    read_card,
    split_files,
    write_card,
)
from qembed.evaluation.eval_sets.findings import Severity, severity
from qembed.evaluation.eval_sets.groups import read_groups
from qembed.progress import Progress
from qembed.records import Chunk, Finding, OnFinding
from qembed.store import BadLine


@dataclass(frozen=True, slots=True)
class CorpusSeen:
    """What was seen of a corpus.

    Attributes:
        path: The chunks or embeddings.
        chunks: How many could be read.
        pages: How many different pages they came from.
        unreadable: Lines, items and files that could not be read.
    """

    path: Path
    chunks: int
    pages: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class EvalSetCheck:
    """What ``check_eval_set`` found.

    Attributes:
        eval_set: As it was read.
        corpus: What the judged ids were looked up in; None where there was no corpus.
        findings: Kinds are in ``eval_sets.findings.KINDS``; lines of the files first, then queries and items.
    """

    eval_set: EvalSet
    corpus: CorpusSeen | None
    findings: tuple[Finding, ...]

    def count(self, kind: Severity) -> int:
        """Findings that are an ``error``, a ``warning`` or a ``note``."""
        return sum(severity(found) == kind for found in self.findings)

    def sound(self, *, strict: bool = False) -> bool:
        """No errors; with ``strict`` no warnings either."""
        return not self.count("error") and not (strict and self.count("warning"))


@dataclass(frozen=True, slots=True)
class Converted:
    """What ``convert_eval_set`` wrote.

    Attributes:
        output: The folder, or the file.
        files: All files that were written.
        queries: Queries in them.
        judgements: By split; of a single file, by its name without suffix.
        findings: Lines that could not be read and are missing now.
    """

    output: Path
    files: tuple[Path, ...]
    queries: int
    judgements: dict[str, int]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class DraftedEvalSet:
    """What ``draft_eval_set`` wrote.

    Attributes:
        output: The folder.
        card: Its card.
        draft: The queries and where they came from.
        findings: What of the chunks could not be read.
    """

    output: Path
    card: Card
    draft: Draft
    findings: tuple[Finding, ...]


def check_eval_set(
    folder: Path,
    corpus: Path | None = None,
    options: CorpusOptions = CorpusOptions(),
    *,
    split: str | None = None,
    progress: Progress = Progress(),
) -> EvalSetCheck:
    """Read an eval set and say what of it cannot be used, or should be looked at.

    Args:
        folder: The eval set.
        corpus: Chunks or embeddings that were judged; the folder's own ``corpus.jsonl`` when None, and no
            corpus where there is none.
        options: How chunks are read; embeddings have their ids.
        split: Which qrels; the card's when None.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: The eval set or the corpus does not exist.
        UsageError: There is no such split, or the card cannot be read.
        Mismatch: The eval set holds no usable query or judgement, or contradicts itself.
    """
    eval_set = load_eval_set(folder, split=split)
    own = Path(folder) / BEIR_CORPUS
    corpus = corpus or (own if own.is_file() else None)
    if corpus is None:
        return EvalSetCheck(eval_set, None, (*eval_set.findings, *check_queries(eval_set)))
    wanted = frozenset(item for judged in eval_set.qrels.values() for item in judged)
    chunk_ids, page_ids, seen = _look_up(Path(corpus), options, wanted, progress)
    findings = check_against(eval_set, chunk_ids, page_ids)
    return EvalSetCheck(eval_set, seen, (*eval_set.findings, *findings))


def convert_eval_set(source: Path, output: Path, *, to: Form) -> Converted:
    """Write an eval set, or one file of qrels, in the other form: all splits, grades as they are.

    Args:
        source: A folder with queries and qrels in either form, or a file of qrels.
        output: The folder, or for a file the file, to write; a new one. The corpus is not converted.
        to: ``beir``: ``queries.jsonl`` and ``qrels/*.tsv``; ``trec``: ``queries.tsv`` and ``qrels/*.txt``.

    Raises:
        InputNotFound: There is nothing to convert.
        OutputExists: The output is there.
        UsageError: An id has white space, which TREC's form cannot hold.
        Mismatch: One pair has two grades, or one id two queries, or the file is a run.
    """
    source, output = Path(source), Path(output)
    _check_output(output, file=source.is_file())
    findings: list[Finding] = []
    if source.is_file():
        qrels = read_qrels(source, findings.append)
        write_qrels(output, qrels, form=to)
        rows = {source.stem: sum(map(len, qrels.values()))}
        return Converted(output, (output,), len(qrels), rows, tuple(findings))
    path = queries_file(source)
    splits = {split: read_qrels(file, findings.append) for split, file in split_files(source).items()}
    if not splits:
        raise InputNotFound("no qrels", where=str(source / "qrels"), remedy="give a folder with qrels/")
    queries = read_queries(path, findings.append)
    for qrels in splits.values():  # one that cannot be written must not leave half a folder
        check_qrels_ids(qrels, to, source)
    suffix = ".tsv" if to == "beir" else ".txt"
    files = [output / QUERIES[0 if to == "beir" else 1]]
    groups = {query: {"group": group} for query, group in read_groups(path).items()}
    write_queries(files[0], queries, form=to, metadata=groups)
    for split, qrels in splits.items():
        files.append(output / "qrels" / f"{split}{suffix}")
        write_qrels(files[-1], qrels, form=to)
    if (source / CARD).is_file():
        write_card(output, read_card(source, findings.append))
        files.append(output / CARD)
    if (source / LOG).is_file():
        files.append(output / LOG)
        shutil.copyfile(source / LOG, files[-1])
    judgements = {split: sum(map(len, qrels.values())) for split, qrels in splits.items()}
    return Converted(output, tuple(files), len(queries), judgements, tuple(findings))


def draft_eval_set(
    input: Path,
    output: Path,
    options: CorpusOptions = CorpusOptions(),
    *,
    queries: int = DEFAULT_QUERIES,
    seed: int = 0,
    force: bool = False,
    progress: Progress = Progress(),
) -> DraftedEvalSet:
    """Propose queries from chunks, as a starting set to be edited: headings, questions, docstrings.

    Args:
        input: A folder of chunk files, or one file.
        output: Folder to make: card (``synthetic = true``), queries and qrels.
        options: How the chunks are read.
        queries: How many at most.
        seed: Another seed chooses others.
        force: Replace what is there.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: There are no chunks.
        UsageError: Nothing in them can be made a query.
        OutputExists: The output is there.
    """
    input, output = Path(input), Path(output)
    if not force:
        _check_output(output, file=False)
    findings: list[Finding] = []
    passes = 0

    def walk() -> Iterator[Chunk]:
        nonlocal passes
        passes += 1
        progress.phase("reading chunks" if passes == 1 else "choosing queries", unit="chunks")
        on_finding: OnFinding = findings.append if passes == 1 else lambda _: None
        for chunk in read_chunks(input, options, on_finding=on_finding):
            progress.advance(1)
            yield chunk

    try:
        drafted = draft(walk, queries=queries, seed=seed)
    finally:
        progress.close()
    if not drafted.queries:
        raise UsageError(
            f"no heading, question or docstring in {drafted.chunks:,} chunks can be made a query",
            where=str(input),
            remedy="write queries.jsonl and qrels/test.tsv by hand; docs/eval-sets.md shows them",
        )
    card = _card(drafted, collection_name(input, options.collection))
    _write(output, card, drafted)
    return DraftedEvalSet(output, card, drafted, tuple(findings))


def _card(drafted: Draft, collection: str) -> Card:
    return Card(
        name=f"{collection}_draft",
        synthetic=True,
        description=(
            f"Drafted by qembed evalset draft from {drafted.chunks:,} chunks of {collection}. Each query is "
            "a heading, a question or the first line of a docstring, word for word, and is linked only to "
            "the chunks that it came from: this flatters every system, BM25 most. Rewrite the queries in the "
            "words of those who ask, judge what else answers them, then set synthetic = false."
        ),
        corpus=f"the chunks of the collection {collection}",
    )


def _write(output: Path, card: Card, drafted: Draft) -> None:
    pairs = zip(drafted.texts, drafted.queries, strict=True)
    metadata = {name: {"kind": query.kind, "page": query.page} for name, query in pairs}
    write_queries(output / QUERIES[0], drafted.texts, metadata=metadata)
    write_qrels(output / "qrels" / f"{card.split}.tsv", drafted.qrels)
    write_card(output, card)


def _check_output(output: Path, *, file: bool) -> None:
    """The output is not there, or an empty folder where a folder is wanted."""
    if output.exists() and (file or not output.is_dir() or any(output.iterdir())):
        raise OutputExists("the output is there already", where=str(output), remedy="give another name")


def _look_up(
    corpus: Path, options: CorpusOptions, wanted: Set[str], progress: Progress
) -> tuple[set[str], set[str], CorpusSeen]:
    """Ids of chunks and pages that are wanted, with the first one of the corpus as an example of each."""
    chunk_ids: set[str] = set()
    page_ids: set[str] = set()
    pages: set[str] = set()
    unreadable: list[Finding | BadLine] = []
    chunks = 0
    progress.phase("reading the corpus", unit="chunks")
    try:
        for chunk_id, page, _ in corpus_items(corpus, options, unreadable.append):
            chunks += 1
            pages.add(page)
            if chunk_id in wanted or not chunk_ids:
                chunk_ids.add(chunk_id)
            if page in wanted or not page_ids:
                page_ids.add(page)
            progress.advance(1)
    finally:
        progress.close()
    return chunk_ids, page_ids, CorpusSeen(corpus, chunks, len(pages), len(unreadable))
