"""One wrapper around CrossEncoder: pairs in, raw logits out, as the engine takes a model of one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from qembed.errors import UsageError
from qembed.models.encoder import Pending, describe
from qembed.models.features import PROBES, SPECIAL, Features, checked_layout, on_device, too_long
from qembed.models.info import EncoderInfo
from qembed.models.kinds import require_cross_encoder
from qembed.models.loading import EncoderOptions, load_model
from qembed.models.rerank.pairs import Pair, PairTokens, join_pair, split_pair
from qembed.models.resolve import ModelSource
from qembed.models.tokens import TokenIds
from qembed.records import Vectors

ACTIVATION: Final = "identity"
"""Scores are raw logits, whatever the model's files ask for: a sigmoid makes 1 of everything that is good."""

_QUERY: Final = "how do I filter by payload?"
_HEAD_PARTS: Final = ("pooler", "classifier", "score")


class PairEncoder:
    """Pairs of query and text in, one float32 logit each out. One forward pass a call.

    Attributes:
        info: What was loaded; its dimension is 1, and ``max_tokens`` holds query and text together.
        reads_tokens: Whether ``submit`` may be used: ids from ``tokens`` gave exactly the features that the
            model makes of pairs itself. Otherwise ``submit_texts``.
        tokens: The tokenizer of joined pairs.
    """

    def __init__(self, model: Any, info: EncoderInfo) -> None:
        self._model, self.info = model, info
        self.tokens = PairTokens.of(model.tokenizer, info.max_tokens)
        self._prompt: str | None = model.prompts.get(model.default_prompt_name)
        self._layout = checked_layout(model, _probes(info.max_tokens), self._ids, self._preprocess)
        self.reads_tokens = self._layout is not None

    @classmethod
    def load(cls, source: ModelSource, options: EncoderOptions) -> PairEncoder:
        """Load a cross-encoder of one label; safetensors only, and no code unasked.

        Args:
            source: With its files on this machine.
            options: Device, precision, lengths and trust.

        Raises:
            UsageError: It is no cross-encoder, or one of several labels; pickled weights, untrusted code, or
                an option that the model cannot serve.
            QembedError: Its files are damaged, or the libraries do not know its architecture.
        """
        require_cross_encoder(source)
        loaded = load_model(source, options, "CrossEncoder")
        model = loaded.model
        if model.num_labels != 1:
            raise UsageError(
                f"{source.id} gives {model.num_labels} numbers per pair; a reranker gives one",
                where=f"num_labels in {source.path}",
                remedy="which of several labels means relevant is not written in the model's files: take a "
                "reranker of one label",
            )
        _head_in_fp32(model)
        info = describe(
            loaded,
            source,
            dimension=1,
            full_dimension=1,
            normalized=False,
            query_prompt="",
            document_prompt="",
            differences=loaded.notes,
        )
        encoder = cls(model, info)
        if options.kernels == "auto" and loaded.device == "cpu":
            encoder._accelerate(options.precision)
        return encoder

    def submit(self, ids: Sequence[TokenIds]) -> Pending:
        """Start one forward pass over pairs as ``tokens.encode`` gives them; only where ``reads_tokens``.

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        assert self._layout is not None, "reads_tokens is False"
        return self._forward(self._layout.features(ids, self._model.device))

    def submit_texts(self, pairs: Sequence[str]) -> Pending:
        """Start one forward pass over joined pairs; the model's own tokenizer reads them.

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        features = self._preprocess([split_pair(pair) for pair in pairs])
        return self._forward(on_device(features, self._model.device))

    def _ids(self, pairs: Sequence[Pair]) -> Any:
        return self.tokens.encode([join_pair(*pair) for pair in pairs], self.info.max_tokens)

    def _preprocess(self, pairs: list[Pair]) -> Features:
        features: Features = self._model.preprocess(pairs, prompt=self._prompt)
        return features

    def _forward(self, features: Features) -> Pending:
        import torch

        with torch.inference_mode():
            return Pending.of(self._model(features)["scores"].float().reshape(-1, 1))

    def _accelerate(self, asked: str) -> None:
        from qembed.models.cpu.accelerate import accelerated

        self.info = accelerated(self._model, self.info, asked, self._probe_states)

    def _probe_states(self) -> Vectors:
        """The states that the head reads, of the probes: a vector a pair, its tokens' mean, without padding.

        Logits would not do: the cosine of single numbers is 1 or -1.
        """
        import torch

        features = self._preprocess([(_QUERY, text) for text in (*PROBES, " ".join(PROBES))])
        found: list[Any] = []
        base = self._model[0].auto_model.base_model
        hook = base.register_forward_hook(lambda _, __, output: found.append(output[0]))
        try:
            with torch.inference_mode():
                self._model(dict(features))
        finally:
            hook.remove()
        real = features["attention_mask"][:, :, None]
        mean = (found[0].float() * real).sum(dim=1) / real.sum(dim=1)
        vectors: Vectors = mean.numpy()
        return vectors


def _probes(max_tokens: int) -> list[Pair]:
    """Pairs that tokenizers treat differently; some are cut, on either side."""
    long = too_long(max_tokens)
    texts = [*PROBES, SPECIAL, long, f"{_QUERY} {SPECIAL} " * 8]
    return [*((_QUERY, text) for text in texts), (long, "a"), (long, long[1:]), (SPECIAL, _QUERY)]


def _head_in_fp32(model: Any) -> None:
    """Let what reads the last state, one vector a pair, compute and return fp32.

    A logit of 8 in bf16 has steps of 0.06, which make ties; and the head costs nothing.
    """
    import torch
    from torch import nn

    class Float32Linear(nn.Linear):
        """Weights and result in float32, whatever it is given."""

        def forward(self, states: Any) -> Any:
            return torch.nn.functional.linear(states.float(), self.weight, self.bias)

    network = model[0].auto_model
    if next(network.parameters()).dtype == torch.float32:
        return
    parts = (getattr(owner, name, None) for owner in (network, network.base_model) for name in _HEAD_PARTS)
    for part in parts:
        for linear in part.modules() if isinstance(part, nn.Module) else ():
            if type(linear) is nn.Linear:
                linear.__class__ = Float32Linear
                linear.float()
