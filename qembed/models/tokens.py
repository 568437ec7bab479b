"""Number of tokens of a text, by the model's own tokenizer and without loading the model."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import UsageError
from qembed.models.as_published import input_module
from qembed.models.files import prompts_of, read_json
from qembed.models.resolve import ModelSource, fetch, resolve_model
from qembed.records import Lengths

CountIds: TypeAlias = Callable[[Sequence[str]], list[int]]
TokenIds: TypeAlias = npt.NDArray[np.int32]
"""int32, shape (tokens,); token ids of one text as the model reads them, special tokens included."""

_SLICE_CHARACTERS = 1 << 20
"""Text that is tokenised at a time: the tokenizer keeps some hundred bytes for every token of it."""

UNLIMITED: Final = 1 << 30
"""Instead of a number of tokens, where a model reads whole texts."""

_PROBE = "a b c"
_CONFIGS = ("config.json", "adapter_config.json")
_TOKENIZED = ("Transformer", "StaticEmbedding")
_FROM_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
)
_LEARNED = (*_FROM_PADDING, "bert", "distilbert", "electra", "gpt2")
"""Families whose positions are a table, so that no text can be longer."""

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json")


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Texts as token ids.

    Attributes:
        lengths: int64 (texts,); tokens of each text before truncation.
        ids: int32 (tokens,); the ids that the model reads, text after text.
        offsets: int64 (texts + 1,); text ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
    """

    lengths: Lengths
    ids: TokenIds
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, text: int) -> TokenIds:
        return self.ids[self.offsets[text] : self.offsets[text + 1]]


@dataclass(frozen=True, slots=True)
class IdReader:
    """How texts become ids.

    Attributes:
        read: Ids of each text, special tokens included, nothing cut. They need only ``len`` until asked for.
        ids_of: The ids of one such item.
        suffix: Special tokens behind every text; they stay when a text is cut.
    """

    read: Callable[[Sequence[str]], Iterator[Any]]
    ids_of: Callable[[Any], list[int]]
    suffix: int

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(item) for part in _slices(texts) for item in self.read(part)]


class TokenCounter:
    """Counts tokens as the model would read them, before any truncation; and gives the ids that it reads.

    Attributes:
        max_tokens: What the model reads of one text, special tokens included; the rest is cut.
        document_prompt: Put before every document; counted with it.
    """

    def __init__(self, count_ids: CountIds | IdReader, max_tokens: int, document_prompt: str = "") -> None:
        self._reader = count_ids if isinstance(count_ids, IdReader) else None
        self._count_ids = count_ids.count if isinstance(count_ids, IdReader) else count_ids
        self.max_tokens = max_tokens
        self.document_prompt = document_prompt

    def count(self, texts: Sequence[str], prompt: str | None = None) -> Lengths:
        """Tokens of each text, special tokens and prompt included.

        Args:
            texts: Any number of texts.
            prompt: Put before each; the model's document prompt when None.

        Returns:
            int64, shape (texts,).
        """
        return np.asarray(self._count_ids(self._prompted(texts, prompt)), dtype=np.int64)

    def encode(
        self, texts: Sequence[str], max_tokens: int | None = None, prompt: str | None = None
    ) -> Tokenized:
        """Token ids of each text, cut as the model's own tokenizer cuts: the end goes, special tokens stay.

        Fast tokenizers work on all cores and release the interpreter's lock.

        Args:
            texts: Any number of texts.
            max_tokens: What is kept of each, special tokens included; the model's own limit when None.
            prompt: Put before each; the model's document prompt when None.

        Raises:
            TypeError: This counter only counts.
        """
        reader = self._reader
        if reader is None:
            raise TypeError("this counter was made from a function that only counts")
        limit, suffix = max_tokens or self.max_tokens, reader.suffix
        texts = self._prompted(texts, prompt)
        lengths, ids = np.empty(len(texts), dtype=np.int64), array("i")
        items = (item for part in _slices(texts) for item in reader.read(part))
        for number, item in enumerate(items):
            lengths[number] = length = len(item)
            read = reader.ids_of(item)
            ids.fromlist(read if length <= limit else read[: limit - suffix] + read[length - suffix :])
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.minimum(lengths, limit), out=offsets[1:])
        return Tokenized(lengths, np.frombuffer(ids, dtype=np.int32), offsets)

    def _prompted(self, texts: Sequence[str], prompt: str | None) -> Sequence[str]:
        prompt = self.document_prompt if prompt is None else prompt
        return [prompt + text for text in texts] if prompt else texts


def load_tokenizer(
    model: str | ModelSource, *, revision: str | None = None, max_tokens: int | None = None
) -> TokenCounter:
    """The tokenizer of a model, as it reads documents; without its weights and without torch.

    Args:
        model: Its name, or where it lies.
        revision: Commit, tag or branch on the hub.
        max_tokens: Instead of the length in the model's files.

    Raises:
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: Its folder has no tokenizer; or its files do not say how many tokens it reads.
    """
    source = fetch(
        model if isinstance(model, ModelSource) else resolve_model(model, revision=revision), weights=False
    )
    assert source.path is not None
    folder, kind = input_module(source.path)
    if kind == "Transformer" and not any((folder / name).is_file() for name in _CONFIGS):
        raise UsageError("the model's folder has no config.json", where=str(source.path))
    prompt = prompts_of(source).document
    if kind not in _TOKENIZED:  # models of words, which have rules of their own for what a word is
        return TokenCounter(lambda texts: [len(text.split()) for text in texts], UNLIMITED, prompt)
    if kind == "StaticEmbedding":
        return TokenCounter(_reader_of(folder, special=False), UNLIMITED, prompt)
    return TokenCounter(_reader_of(folder), max_tokens or _max_tokens(source.path, folder), prompt)


def reader_with(tokenizer: Any) -> IdReader:
    """A reader from a loaded transformers tokenizer; the tokenizer itself stays as it is."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        from tokenizers import Tokenizer

        return _fast(Tokenizer.from_str(backend.to_str()))

    def ids_of(text: str, special: bool = True) -> list[int]:
        ids = tokenizer(text, truncation=False, add_special_tokens=special, verbose=False)["input_ids"]
        return [int(number) for number in ids]

    return IdReader(
        lambda texts: (ids_of(text) for text in texts),
        lambda ids: ids,
        _suffix(ids_of(_PROBE), ids_of(_PROBE, False)),
    )


def require_tokenizer(folder: Path) -> None:
    """Refuse a model without a vocabulary: transformers 5 would make up an empty one, every word unknown.

    Raises:
        UsageError: naming the folder.
    """
    if input_module(folder)[1] not in _TOKENIZED:
        return
    if not any(any(folder.rglob(name)) for name in _VOCABULARIES):
        raise UsageError(
            "the model's folder holds no tokenizer (tokenizer.json, vocab.txt, *.model ...)",
            where=str(folder),
            remedy="download the model again",
        )


def _reader_of(folder: Path, *, special: bool = True) -> IdReader:
    require_tokenizer(folder)
    try:
        file = folder / "tokenizer.json"
        if file.is_file():
            from tokenizers import Tokenizer

            return _fast(Tokenizer.from_file(str(file)), special=special)
        from transformers import AutoTokenizer

        # Without trust_remote_code=False transformers asks on stdin whether the model's code may run.
        return reader_with(
            AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        )
    except Exception as error:  # tokenizers raises nothing more special
        raise UsageError(f"the model's tokenizer cannot be read: {error}", where=str(folder)) from error


def _fast(tokenizer: Any, *, special: bool = True) -> IdReader:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with_special, bare = (tokenizer.encode(_PROBE, add_special_tokens=add).ids for add in (special, False))
    return IdReader(
        lambda texts: iter(tokenizer.encode_batch_fast(texts, add_special_tokens=special)),
        lambda encoding: encoding.ids,
        _suffix(with_special, bare),
    )


def _suffix(with_special: list[int], bare: list[int]) -> int:
    """Special tokens behind a text."""
    size = len(bare)
    most = len(with_special) - size
    found = (before for before in range(most + 1) if with_special[before : before + size] == bare)
    return most - next(found, 0)


def _slices(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, about a million characters at a time."""
    part: list[str] = []
    characters = 0
    for text in texts:
        part.append(text)
        characters += len(text)
        if characters >= _SLICE_CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _max_tokens(root: Path, folder: Path) -> int:
    config = read_json(folder / "config.json")
    values = [
        *(read_json(place / "sentence_bert_config.json").get("max_seq_length") for place in (root, folder)),
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        config.get("max_position_embeddings"),
    ]
    known = [value for value in values if isinstance(value, int) and 0 < value < UNLIMITED]
    if not known:
        raise UsageError(
            "the model's files do not say how many tokens it reads",
            where=str(folder),
            remedy="name a length with --max-length; 512 is usual",
        )
    published = known[0] if isinstance(values[0] or values[1], int) else min(known)
    positions = values[3] if config.get("model_type") in _LEARNED else None
    if not isinstance(positions, int):
        return published
    if config["model_type"] in _FROM_PADDING:  # as RoBERTa: the first position is behind that of padding
        positions -= int(config.get("pad_token_id") or 1) + 1
    return min(published, positions)
