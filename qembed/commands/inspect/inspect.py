"""``inspect``: what a folder of chunks holds, before any vector is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qembed.corpus import CorpusOptions, check_ids, collection_name, read_chunks
from qembed.corpus.statistics import Holdings, holdings, largest_groups
from qembed.corpus.survey import Groups, Survey
from qembed.errors import DuplicateIds
from qembed.models import TokenCounter, load_tokenizer, resolve_model
from qembed.progress import Progress
from qembed.records import Chunk, Finding, Lengths

_BLOCK_TEXTS = 1024


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Chunks with exactly the same text.

    Attributes:
        copies: How many chunks have it.
        characters: Length of the text.
        text: The text.
        example_id: Id of the first of them.
    """

    copies: int
    characters: int
    text: str
    example_id: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What ``inspect`` found.

    Attributes:
        collection: Its name.
        model: Id of the model whose tokenizer counted; None without.
        max_tokens: What that model reads of one text.
        total: The whole corpus.
        subdirectories: The same per subdirectory.
        duplicate_groups: The largest groups of identical texts.
        findings: Everything that cannot be read.
        duplicate_ids: What is wrong with the ids, if something is; ``embed`` would stop.
    """

    collection: str
    model: str | None
    max_tokens: int | None
    total: Holdings
    subdirectories: dict[str, Holdings]
    duplicate_groups: list[DuplicateGroup]
    findings: list[Finding]
    duplicate_ids: str | None


def inspect(
    input: Path,
    options: CorpusOptions = CorpusOptions(),
    *,
    model: str | None = None,
    revision: str | None = None,
    groups_shown: int = 5,
    progress: Progress = Progress(),
) -> Inspection:
    """Read every chunk once and say what is there.

    Args:
        input: A folder of chunk files, or one file.
        options: How the chunks are read.
        model: The model whose tokenizer counts; no token counts when None. Its weights are not needed.
        revision: Commit, tag or branch of that model.
        groups_shown: How many groups of duplicates to describe.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: Nothing there to read.
        ModelUnreachable: The tokenizer is neither here nor on the hub.
    """
    input = Path(input)
    collection = collection_name(input, options.collection) if input.exists() else ""
    counter = load_tokenizer(resolve_model(model, revision=revision)) if model else None
    survey = Survey()
    tokens = _Tokens(counter)
    try:
        progress.phase("reading chunks", unit="chunks")
        for chunk in read_chunks(input, options, on_finding=survey.findings.append, on_file=survey.on_file):
            survey.add(chunk)
            tokens.add(chunk)
            progress.advance(1)
        groups = survey.groups()
        lengths = tokens.lengths()
        return Inspection(
            collection=collection,
            model=resolve_model(model).id if model else None,
            max_tokens=counter.max_tokens if counter else None,
            total=_holdings(survey, groups, lengths, tokens.max_tokens, None),
            subdirectories={
                name: _holdings(survey, groups, lengths, tokens.max_tokens, code)
                for code, name in enumerate(survey.subdirectories)
            },
            duplicate_groups=_describe_groups(input, options, groups, groups_shown),
            findings=survey.findings,
            duplicate_ids=_duplicate_ids(survey, input, options),
        )
    finally:
        progress.close()


class _Tokens:
    """Counts the tokens of each new text, a block at a time, in order of first appearance."""

    def __init__(self, counter: TokenCounter | None) -> None:
        self._counter = counter
        self._seen: set[int] = set()
        self._block: list[str] = []
        self._counts: list[Lengths] = []
        self.max_tokens = counter.max_tokens if counter else 0

    def add(self, chunk: Chunk) -> None:
        if self._counter is None:
            return
        key = int(chunk.metadata["content_sha256"][:32], 16)
        if key in self._seen:
            return
        self._seen.add(key)
        self._block.append(chunk.text)
        if len(self._block) == _BLOCK_TEXTS:
            self._flush()

    def lengths(self) -> Lengths | None:
        if self._counter is None:
            return None
        self._flush()
        return np.concatenate(self._counts) if self._counts else np.empty(0, dtype=np.int64)

    def _flush(self) -> None:
        if self._counter is not None and self._block:
            self._counts.append(self._counter.count(self._block))
            self._block = []


def _holdings(
    survey: Survey, groups: Groups, lengths: Lengths | None, max_tokens: int, code: int | None
) -> Holdings:
    if code is None:
        files, chosen = survey.files.total(), np.arange(len(survey))
    else:
        files, chosen = survey.files_of(survey.subdirectories[code]), np.flatnonzero(survey.codes() == code)
    characters = np.asarray(survey.characters, dtype=np.int64)
    return holdings(files, chosen, groups, characters, lengths, max_tokens)


def _describe_groups(
    input: Path,
    options: CorpusOptions,
    groups: Groups,
    count: int,
) -> list[DuplicateGroup]:
    """Walk again for the texts of the largest groups; only these are held."""
    wanted = {int(groups.first[text]): copies for text, copies in largest_groups(groups, count)}
    found: dict[int, DuplicateGroup] = {}
    if wanted:
        for position, chunk in enumerate(read_chunks(input, options)):
            if position in wanted:
                found[position] = DuplicateGroup(wanted[position], len(chunk.text), chunk.text, chunk.id)
                if len(found) == len(wanted):
                    break
    return sorted(found.values(), key=lambda group: -group.copies)


def _duplicate_ids(survey: Survey, input: Path, options: CorpusOptions) -> str | None:
    try:
        check_ids(survey.ids, input, options)
    except DuplicateIds as error:
        return str(error)
    return None
