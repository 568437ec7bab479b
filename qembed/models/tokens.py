"""How many tokens a text has, by the model's own tokenizer and without loading the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qembed.errors import UsageError
from qembed.models.files import prompts_of, read_json
from qembed.models.resolve import ModelSource, fetch, resolve_model
from qembed.records import Lengths

CountIds = Callable[[Sequence[str]], list[int]]
_SUBFOLDERS = ("", "0_Transformer", "0")
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json")


class TokenCounter:
    """Counts tokens as the model would read them, before any truncation.

    Attributes:
        max_tokens: What the model reads of one text, special tokens included; the rest is cut.
        document_prompt: Put before every document; counted with it.
    """

    def __init__(self, count_ids: CountIds, max_tokens: int, document_prompt: str = "") -> None:
        self._count_ids = count_ids
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
        prompt = self.document_prompt if prompt is None else prompt
        prompted = [prompt + text for text in texts] if prompt else texts
        return np.asarray(self._count_ids(prompted), dtype=np.int64)


def load_tokenizer(model: str | ModelSource, *, revision: str | None = None) -> TokenCounter:
    """The tokenizer of a model, without its weights and without torch.

    Raises:
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: Its folder has no tokenizer.
    """
    source = fetch(
        model if isinstance(model, ModelSource) else resolve_model(model, revision=revision), weights=False
    )
    assert source.path is not None
    folder = next(
        (source.path / sub for sub in _SUBFOLDERS if (source.path / sub / "config.json").is_file()), None
    )
    if folder is None:
        raise UsageError("the model's folder has no config.json", where=str(source.path))
    return TokenCounter(_counter_of(folder), _max_tokens(source.path, folder), prompts_of(source).document)


def count_ids_with(tokenizer: Any) -> CountIds:
    """A counter from a loaded transformers tokenizer; the tokenizer itself stays as it is."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        from tokenizers import Tokenizer

        return _fast(Tokenizer.from_str(backend.to_str()))

    def slow(texts: Sequence[str]) -> list[int]:
        return [len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for text in texts]

    return slow


def require_tokenizer(folder: Path) -> None:
    """Refuse a model without a vocabulary: transformers 5 would make up an empty one, every word unknown.

    Raises:
        UsageError: naming the folder.
    """
    if not any(any(folder.rglob(name)) for name in _VOCABULARIES):
        raise UsageError(
            "the model's folder holds no tokenizer (tokenizer.json, vocab.txt, *.model ...)",
            where=str(folder),
            remedy="download the model again",
        )


def _counter_of(folder: Path) -> CountIds:
    require_tokenizer(folder)
    try:
        file = folder / "tokenizer.json"
        if file.is_file():
            from tokenizers import Tokenizer

            return _fast(Tokenizer.from_file(str(file)))
        from transformers import AutoTokenizer

        # Without trust_remote_code=False transformers asks on stdin whether the model's code may run.
        return count_ids_with(
            AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        )
    except Exception as error:  # tokenizers raises nothing more special
        raise UsageError(f"the model's tokenizer cannot be read: {error}", where=str(folder)) from error


def _fast(tokenizer: Any) -> CountIds:
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]

    return count


def _max_tokens(root: Path, folder: Path) -> int:
    for place in (root, folder):
        value = read_json(place / "sentence_bert_config.json").get("max_seq_length")
        if isinstance(value, int):
            return value
    limits = [
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        read_json(folder / "config.json").get("max_position_embeddings"),
    ]
    known = [limit for limit in limits if isinstance(limit, int) and limit < 10**9]
    if not known:
        raise UsageError("the model does not say how many tokens it reads", where=str(folder))
    return min(known)
