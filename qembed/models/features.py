"""Token ids -> what the model's forward pass takes: what sentence-transformers would make of the texts.

Whether it is equal is not assumed but compared when a model is loaded (``layout_of``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import numpy as np

from qembed.models.tokens import UNLIMITED, TokenCounter, TokenIds, Tokenized

if TYPE_CHECKING:
    import torch

Features: TypeAlias = dict[str, Any]

PROBES: Final = (
    "How do I filter by payload?",
    "a",
    " leading and trailing white space \n\t ",
    "Größe, naïve café; 日本語のテキスト, emoji 👩‍👩‍👧 and e\u0301\u0301",
    "def f(x: int) -> dict[str, int]:\n    return {k: v for k, v in x.items()}  # code",
)
"""Texts that tokenizers treat differently, of several lengths."""

SPECIAL: Final = "[CLS] <s> </s> <|endoftext|> special tokens as text"
"""What tokenizers may take for their own marks."""

Probe = TypeVar("Probe")


@dataclass(frozen=True, slots=True)
class FeatureLayout:
    """How the ids of a batch are laid out for one prompt.

    Attributes:
        names: Tensors that the model takes: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``.
        pad_id: Fills rows that are shorter than the longest.
        left: Fill in front.
        constants: What else belongs to the features, e.g. ``prompt_length``, which pooling may leave out.
    """

    names: tuple[str, ...]
    pad_id: int
    left: bool
    constants: Mapping[str, Any]

    def features(self, ids: Sequence[TokenIds], device: str | torch.device = "cpu") -> Features:
        """The features of one batch, padded to its longest text: int64 (texts, longest) each.

        All tensors are parts of one block. A GPU fetches it from pinned memory while this returns.

        Args:
            ids: Token ids of each text, at least one text. Those of a pair's second segment come as their
                complement (``~id``, below 0), which makes their token type 1.
            device: Where the tensors are needed.
        """
        import torch

        device = torch.device(device)
        lengths = np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(ids))
        longest = int(lengths.max())
        shape = (len(self.names), len(ids), longest)
        block = torch.empty(shape, dtype=torch.int64, pin_memory=device.type == "cuda")
        arrays = dict(zip(self.names, block.numpy(), strict=True))
        starts = longest - lengths if self.left else np.zeros_like(lengths)
        inputs = arrays["input_ids"]
        inputs[:] = self.pad_id
        for row, text, start in zip(inputs, ids, starts.tolist(), strict=True):
            row[start : start + len(text)] = text
        second = inputs < 0
        np.invert(inputs, out=inputs, where=second)
        positions = np.arange(longest)
        begin, end = starts[:, None], (starts + lengths)[:, None]
        arrays["attention_mask"][:] = (begin <= positions) & (positions < end)
        if "token_type_ids" in arrays:
            arrays["token_type_ids"][:] = second
        return {**dict(zip(self.names, block.to(device, non_blocking=True), strict=True)), **self.constants}


def layout_of(model: Any, counter: TokenCounter, max_tokens: int, prompt: str) -> FeatureLayout | None:
    """The layout by which token ids give what ``model.preprocess`` makes of texts, exactly; None without one.

    Args:
        model: A SentenceTransformer.
        counter: Gives the ids.
        max_tokens: Where they are cut.
        prompt: Put before every text.
    """
    texts = [*PROBES, SPECIAL, *([too_long(max_tokens)] if max_tokens < UNLIMITED else [])]

    def ids_of(batch: Sequence[str]) -> Tokenized:
        return counter.encode(batch, max_tokens, prompt)

    return checked_layout(
        model, texts, ids_of, lambda batch: model.preprocess(batch, prompt=prompt or None, task="document")
    )


def checked_layout(
    model: Any,
    probes: Sequence[Probe],
    ids_of: Callable[[Sequence[Probe]], Tokenized],
    preprocess: Callable[[list[Probe]], Features],
) -> FeatureLayout | None:
    """The layout by which ``ids_of`` gives exactly the features of ``preprocess`` for the probes, if any."""
    try:
        layout = _guess(model, dict(preprocess(list(probes))))
        # In two batches, because some tokenizers pad to a multiple or to a fixed length.
        for batch in (probes, probes[:2]):
            tokens = ids_of(batch)
            found = layout.features([tokens[i] for i in range(len(tokens))])
            if not _equal(found, dict(preprocess(list(batch)))):
                return None
    except Exception:  # models differ in what they lack; whatever fails here, the texts path still works
        return None
    return layout


def too_long(max_tokens: int) -> str:
    """A text that the model cuts."""
    return f"more than the model reads: {'text ' * max_tokens} and its end"


def on_device(features: Features, device: str | torch.device) -> Features:
    """The same features with their tensors on a device."""
    import torch

    return {
        key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()
    }


def _guess(model: Any, expected: Features) -> FeatureLayout:
    import torch

    tokenizer = model.tokenizer
    names = tuple(key for key, value in expected.items() if isinstance(value, torch.Tensor))
    constants = {key: value for key, value in expected.items() if key not in names}
    return FeatureLayout(names, int(tokenizer.pad_token_id), tokenizer.padding_side == "left", constants)


def _equal(found: Features, expected: Features) -> bool:
    import torch

    if found.keys() != expected.keys():
        return False
    for key, value in expected.items():
        mine = found[key]
        if not isinstance(value, torch.Tensor):
            same = mine == value
        else:
            same = mine.dtype == value.dtype and torch.equal(mine, value)
        if not same:
            return False
    return True
