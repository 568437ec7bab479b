"""The corpus that a plan is for: read once, token lengths by the model's tokenizer or estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from qembed.corpus import CorpusOptions, check_ids, collection_name, read_chunks
from qembed.corpus.survey import Survey
from qembed.errors import InputNotFound, ModelUnreachable
from qembed.models import ModelSource, load_tokenizer, resolve_model
from qembed.progress import Progress
from qembed.records import Chunk, Lengths

_BLOCK_TEXTS = 1024
_LARGE_VOCABULARY = 100_000

# Measured on documentation and code (8,108 chunks, 5,034 unique texts, 4.8 M characters) with the byte-pair
# vocabulary of Qwen (151,643 entries): 0.776 tokens for each of all-MiniLM-L6-v2's (by subdirectory 0.73 to
# 0.79), 3.94 characters per token (3.57 to 4.10); all-MiniLM-L6-v2 itself has 3.06 (2.69 to 3.25).
_TOKENS_PER_WORDPIECE = 0.78
_CHARACTERS_PER_TOKEN = {True: 3.9, False: 3.05}
ESTIMATE_SPREAD = 0.15
"""An estimated number of tokens is this far off: an assumption, wider than between those subdirectories."""

_LONGEST_MARGIN = 1.25
"""A single text strays more than a sum: 679 tokens were 595 by the estimate."""

Count = Callable[[Sequence[str]], Lengths]


@dataclass(frozen=True, slots=True)
class Counter:
    """How tokens are counted.

    Attributes:
        count: Texts to tokens, before truncation.
        source: In words.
        estimated: Whether it is not the model's own tokenizer.
    """

    count: Count
    source: str
    estimated: bool


@dataclass(frozen=True, slots=True)
class CorpusFacts:
    """Figures of one corpus.

    Attributes:
        collection: Its name.
        chunks: That were read.
        lengths: Tokens of each unique text before truncation; int64 (unique texts,).
        record_bytes: JSON of ids, texts and metadata of all chunks.
        findings: What could not be read.
        tokens_from: How tokens were counted, in words.
        estimated: Whether that is an estimate.
    """

    collection: str
    chunks: int
    lengths: Lengths
    record_bytes: int
    findings: int
    tokens_from: str
    estimated: bool


def token_counter(source: ModelSource, vocabulary: int, prompt: str) -> Counter:
    """The model's own tokenizer; where it is neither here nor on the hub an estimate.

    Args:
        source: The model.
        vocabulary: Its entries: large ones make fewer tokens.
        prompt: Put before every text.
    """
    try:
        own = load_tokenizer(source)
        return Counter(own.count, f"the tokenizer of {source.id}", False)
    except ModelUnreachable:
        large = vocabulary >= _LARGE_VOCABULARY
    try:
        wordpieces = load_tokenizer(resolve_model("minilm"))
    except ModelUnreachable:
        return Counter(_by_characters(prompt, _CHARACTERS_PER_TOKEN[large]), "characters", True)
    factor = _TOKENS_PER_WORDPIECE if large else 1.0

    def count(texts: Sequence[str]) -> Lengths:
        estimate: Lengths = np.ceil(wordpieces.count(texts, prompt) * factor).astype(np.int64)
        return estimate

    return Counter(count, f"{factor:g} x the tokens of all-MiniLM-L6-v2", True)


def _by_characters(prompt: str, characters_per_token: float) -> Count:
    def count(texts: Sequence[str]) -> Lengths:
        characters = np.asarray([len(prompt) + len(text) for text in texts], dtype=np.float64)
        return 2 + np.ceil(characters / characters_per_token).astype(np.int64)

    return count


def corpus_facts(input: Path, options: CorpusOptions, counter: Counter, progress: Progress) -> CorpusFacts:
    """Read every chunk once, as ``embed`` does.

    Raises:
        InputNotFound: No chunk could be read.
        DuplicateIds: Two chunks have one id.
    """
    survey, blocks = Survey(), _UniqueTexts(counter.count)
    record_bytes = 0
    progress.phase("reading chunks", unit="chunks")
    for chunk in read_chunks(input, options, on_finding=survey.findings.append, on_file=survey.on_file):
        survey.add(chunk)
        blocks.add(chunk)
        record_bytes += len(orjson.dumps((chunk.id, chunk.text, chunk.metadata)))
        progress.advance(1)
    if not len(survey):
        first = f"the first finding: {survey.findings[0]}" if survey.findings else "the files are empty"
        raise InputNotFound(f"no chunk in {str(input)!r} could be read", where=first)
    check_ids(survey.ids, input, options)
    lengths = blocks.lengths()
    if counter.estimated:
        lengths[np.argmax(lengths)] = int(lengths.max() * _LONGEST_MARGIN)
    return CorpusFacts(
        collection=collection_name(input, options.collection),
        chunks=len(survey),
        lengths=lengths,
        record_bytes=record_bytes,
        findings=len(survey.findings),
        tokens_from=counter.source,
        estimated=counter.estimated,
    )


class _UniqueTexts:
    """Counts the tokens of each new text, a block at a time."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._seen: set[bytes] = set()
        self._block: list[str] = []
        self._counts: list[Lengths] = []

    def add(self, chunk: Chunk) -> None:
        key = bytes.fromhex(chunk.metadata["content_sha256"][:32])
        if key not in self._seen:
            self._seen.add(key)
            self._block.append(chunk.text)
        if len(self._block) == _BLOCK_TEXTS:
            self._flush()

    def lengths(self) -> Lengths:
        self._flush()
        return np.concatenate(self._counts)

    def _flush(self) -> None:
        if self._block:
            self._counts.append(self._count(self._block))
            self._block = []
