"""States of single tokens, for late interaction: of any SentenceTransformer, or of a model made for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qembed.errors import UsageError
from qembed.models.encoder import Encoder, describe
from qembed.models.features import PROBES, Features, on_device
from qembed.models.files import Role
from qembed.models.info import EncoderInfo
from qembed.models.kinds import kind_of
from qembed.models.loading import EncoderOptions, load_model
from qembed.models.resolve import ModelSource
from qembed.models.tokens import TokenCounter, TokenIds, reader_with


@dataclass(frozen=True, slots=True)
class TokenStates:
    """What a model makes of the tokens of some texts.

    Attributes:
        states: Tensor (texts, tokens, width), padded.
        matched: bool tensor (texts, tokens): the tokens that take part; at least one of each text.
    """

    states: Any
    matched: Any


class TokenModel(Protocol):
    """Texts in, states of their tokens out."""

    info: EncoderInfo
    reads_tokens: bool
    tokens: TokenCounter

    def states(self, ids: Sequence[TokenIds]) -> TokenStates:
        """Token vectors of documents given as token ids; only if ``reads_tokens``."""

    def states_of_texts(self, texts: Sequence[str], role: Role = "document") -> TokenStates:
        """Token vectors of texts."""


class TokenEncoder(Encoder):
    """A SentenceTransformer's states of tokens, before any pooling.

    Special tokens (``[CLS]``, ``[SEP]``) are matched as any other, as in ColBERT (``docs/rerank.md`` has the
    measurement). The tokens of a prompt are read by the model but matched with nothing: they are the same in
    every text.
    """

    def __init__(self, model: Any, info: EncoderInfo, counter: TokenCounter) -> None:
        super().__init__(model, info, counter)
        self.tokens = self._counter
        self._prompt_spans: dict[Role, tuple[int, int]] = {
            "query": _prompt_span(model.tokenizer, info.query_prompt),
            "document": _prompt_span(model.tokenizer, info.document_prompt),
        }

    def states(self, ids: Sequence[TokenIds]) -> TokenStates:
        """Token vectors of documents given as token ids; only if ``reads_tokens``."""
        assert self._layout is not None, "reads_tokens is False"
        return self._states(self._layout.features(ids, self._model.device), "document")

    def states_of_texts(self, texts: Sequence[str], role: Role = "document") -> TokenStates:
        """Token vectors of texts."""
        return self._states(self._features(texts, role), role)

    def _states(self, features: Features, role: Role) -> TokenStates:
        import torch

        with torch.inference_mode():
            made = self._model[0](features, task=role)
        if "token_embeddings" not in made or "attention_mask" not in made:
            raise UsageError(
                f"{self.info.id} has no token vectors, which MaxSim needs",
                remedy="take a transformer, e.g. --reranker maxsim:minilm",
            )
        mask = made["attention_mask"].bool()
        start, end = self._prompt_spans[role]
        place = mask.cumsum(dim=1) - 1  # among the real tokens of its text
        matched = mask & ((place < start) | (place >= end))
        return TokenStates(made["token_embeddings"], _never_none(matched, mask))


class MultiVectorTokens:
    """The vectors of a ``MultiVectorEncoder``; its own mask says which tokens are matched."""

    reads_tokens = False

    def __init__(self, model: Any, info: EncoderInfo) -> None:
        self._model = model
        self.info = info
        self.tokens = TokenCounter(reader_with(model.tokenizer), info.max_tokens, info.document_prompt)

    @classmethod
    def load(cls, source: ModelSource, options: EncoderOptions) -> MultiVectorTokens:
        """Load a model whose files are here.

        Raises:
            UsageError, QembedError: As ``Encoder.load``; or this sentence-transformers knows no such models.
        """
        loaded = load_model(source, options, "MultiVectorEncoder")
        model = loaded.model
        width = int(model.get_embedding_dimension())
        prompts = {role: model.prompts.get(role) or "" for role in ("query", "document")}
        info = describe(
            loaded,
            source,
            dimension=width,
            full_dimension=width,
            normalized=True,
            query_prompt=prompts["query"],
            document_prompt=prompts["document"],
            differences=loaded.notes,
        )
        length = getattr(model[0], "document_length", None)
        tokens = cls(model, replace(info, max_tokens=min(info.max_tokens, length or info.max_tokens)))
        if options.kernels == "auto" and loaded.device == "cpu":
            tokens._accelerate(options.precision)
        return tokens

    def states(self, ids: Sequence[TokenIds]) -> TokenStates:
        """Not for these models."""
        raise NotImplementedError("these models read texts")

    def states_of_texts(self, texts: Sequence[str], role: Role = "document") -> TokenStates:
        """Token vectors of texts, with the model's own prompt, length and query expansion."""
        import torch

        prompt = self.info.query_prompt if role == "query" else self.info.document_prompt
        features = self._model.preprocess(list(texts), prompt=prompt or None, task=role)
        with torch.inference_mode():
            made = self._model(on_device(features, self._model.device), task=role)
        mask = made["attention_mask"].bool()
        return TokenStates(made["token_embeddings"], _never_none(mask, torch.ones_like(mask)))

    def _accelerate(self, asked: str) -> None:
        from qembed.models.cpu.accelerate import accelerated

        def vectors() -> npt.NDArray[np.float32]:
            """States of tokens in both roles, with padding and without: queries may be expanded."""
            roles: tuple[Role, ...] = ("document", "query")
            made = [
                self.states_of_texts(texts, role)
                for role in roles
                for texts in ([*PROBES, " ".join(PROBES)], PROBES[:1])
            ]
            return np.concatenate([one.states[one.matched].float().numpy() for one in made])

        self.info = accelerated(self._model, self.info, asked, vectors)


def load_token_model(source: ModelSource, options: EncoderOptions) -> TokenModel:
    """A SentenceTransformer or a MultiVectorEncoder, as its files say.

    Args:
        source: With its files on this machine.
        options: Device, precision, lengths and trust.

    Raises:
        UsageError, QembedError: As ``Encoder.load``; or the model has no states of tokens.
    """
    assert source.path is not None
    kind = kind_of(source.path)
    if kind == "multi-vector":
        return MultiVectorTokens.load(source, options)
    if kind == "transformer":  # its states of tokens are read before any pooling
        options = replace(options, pooling=options.pooling or "mean")
    model = TokenEncoder.load(source, options)
    assert isinstance(model, TokenEncoder)
    model.states_of_texts(PROBES[:1])
    return model


def _prompt_span(tokenizer: Any, prompt: str) -> tuple[int, int]:
    """First and last + 1 token of a prompt in a prompted text, behind the special tokens in front."""
    if not prompt:
        return 0, 0
    ids = tokenizer(prompt, add_special_tokens=True, verbose=False)["input_ids"]
    bare = len(tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"])
    start = next(place for place, token in enumerate(ids) if token not in tokenizer.all_special_ids)
    return start, start + bare


def _never_none(matched: Any, otherwise: Any) -> Any:
    """``matched``, or all of ``otherwise`` for a text in which nothing is matched."""
    import torch

    return torch.where(matched.any(dim=1, keepdim=True), matched, otherwise)
