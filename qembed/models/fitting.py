"""Sets a loaded model up: length, padding token, pooling; derived where that can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias, get_args

from qembed.errors import UsageError
from qembed.models.tokens import UNLIMITED

Pooling: TypeAlias = Literal["cls", "mean", "max", "last-token", "weighted-mean"]
POOLINGS: Final[tuple[Pooling, ...]] = get_args(Pooling)
_MODES: Final = {"last-token": "lasttoken", "last_token": "lasttoken", "weighted-mean": "weightedmean"}
_POSITION_TABLES: Final = ("position_embeddings", "wpe", "embed_positions", "position_embedding")
_NO_LIMIT: Final = 10**9


def networks_of(model: Any) -> Iterator[Any]:
    """The transformers of a model: usually one, none in static models, several where roles differ."""
    from transformers import PreTrainedModel

    inside: set[int] = set()
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and id(module) not in inside:
            inside.update(id(part) for part in module.modules())
            yield module


def reading_module(model: Any) -> Any:
    """The module that reads documents: the first, or the first of the documents' route."""
    first = model[0]
    routes = getattr(first, "sub_modules", None)
    if routes is None:
        return first
    name = "document" if "document" in routes else getattr(first, "default_route", None) or next(iter(routes))
    return routes[name][0]


def set_pooling(model: Any, pooling: str) -> None:
    """Pool the states of a bare transformer as asked.

    Args:
        model: As sentence-transformers makes it of a folder without ``modules.json``.
        pooling: A name in ``POOLINGS``, or as the catalog names it.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling as Module

    if len(model) > 1:  # without it, the network gives one vector per text by itself
        model[1] = Module(model[0].get_embedding_dimension(), pooling_mode=_MODES.get(pooling, pooling))


def set_pad_token(model: Any, model_id: str) -> None:
    """Pad with the end-of-sequence token where a tokenizer has no padding token; padding is masked anyway.

    Raises:
        UsageError: It has neither.
    """
    for module in _tokenizing(model):
        tokenizer = module.tokenizer
        if getattr(tokenizer, "pad_token", "") is not None:
            continue
        if tokenizer.eos_token is None:
            raise UsageError(
                f"the tokenizer of {model_id!r} has neither a padding nor an end-of-sequence token",
                remedy="set pad_token in its tokenizer_config.json",
            )
        tokenizer.pad_token = tokenizer.eos_token


def set_max_length(model: Any, max_length: int | None, model_id: str) -> tuple[str, ...]:
    """Let the model read as many tokens as asked for, and never more than it has positions for.

    Args:
        model: The sentence-transformers model.
        max_length: As the user asked; what the model was published with when None.
        model_id: For the message.

    Returns:
        What a user should know: a published length beyond the positions.

    Raises:
        UsageError: It reads fewer tokens; or its files do not say how many.
    """
    positions = min((_positions(network) for network in networks_of(model)), default=None)
    published = max_tokens_of(model)
    if max_length is not None:
        _require_fit(model, max_length, published, positions)
        model.max_seq_length = max_length
        return ()
    if positions is None:
        return ()
    if published > positions:
        model.max_seq_length = positions
        if published < _NO_LIMIT:
            return (f"its files say {published:,} tokens, it has {positions:,} positions: so many are read",)
    elif published == UNLIMITED:
        raise UsageError(
            f"the files of {model_id!r} do not say how many tokens it reads",
            remedy="name a length with --max-length; 512 is usual",
        )
    return ()


def max_tokens_of(model: Any) -> int:
    """Tokens that the model reads of a document; ``UNLIMITED`` where nothing is cut."""
    length = getattr(reading_module(model), "max_seq_length", None)
    return UNLIMITED if length is None or length >= _NO_LIMIT else int(length)


def _require_fit(model: Any, max_length: int, published: int, positions: int | None) -> None:
    if positions is None:
        raise UsageError("this model reads whole texts", remedy="leave --max-length out")
    configs = (getattr(network, "config", None) for network in networks_of(model))
    trained = [getattr(config, "max_position_embeddings", None) for config in configs]
    known = [limit for limit in (positions, *trained) if limit and limit < UNLIMITED]
    limit = min(known) if known else published
    if not 4 <= max_length <= limit:
        most = f"4 to {limit}" if limit < UNLIMITED else "at least 4"
        raise UsageError(
            f"--max-length {max_length} does not fit this model", remedy=f"give {most}, or leave it out"
        )


def _positions(network: Any) -> int:
    """Learned positions that a token can take; ``UNLIMITED`` where positions are computed."""
    from torch import nn

    tables = (
        module
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in _POSITION_TABLES and isinstance(module, nn.Embedding)
    )
    # RoBERTa and its kin count positions from padding_idx + 1.
    rows = (t.num_embeddings - (0 if t.padding_idx is None else t.padding_idx + 1) for t in tables)
    return min(rows, default=UNLIMITED)


def _tokenizing(model: Any) -> Iterator[Any]:
    from transformers import PreTrainedTokenizerBase

    for module in model.modules():
        if isinstance(getattr(module, "tokenizer", None), PreTrainedTokenizerBase):
            yield module
