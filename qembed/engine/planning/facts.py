"""What planning needs to know of a model: from the catalog, or from the small files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qembed.engine.planning.candidates import Model
from qembed.engine.planning.capacity import Capacity
from qembed.errors import UsageError
from qembed.models import ModelSource, TokenCounter, fetch, load_tokenizer
from qembed.models.catalog import Architecture, ModelCard, weight_bytes_by_rule
from qembed.models.files import read_json
from qembed.models.loading import LARGE_PARAMETERS
from qembed.models.weights import weight_bytes, weight_files

_KEYS = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "dim", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "mlp": ("intermediate_size", "n_inner", "hidden_dim", "d_ff"),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions", "max_seq_len"),
}
"""What configurations call the same thing; the first that is there counts."""

_GATED = ("silu", "swiglu", "swish", "geglu", "reglu", "glu")
_GATED_FAMILIES = ("gemma", "modernbert")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Figures of one model.

    Attributes:
        id: Hub id or folder.
        architecture: The transformer's shape.
        parameters: Number of float weights.
        weight_bytes: Bytes of the weights in memory, by dtype.
        published_bytes: Bytes of the files that are read to load it.
        dimensions: Length of a vector.
        max_tokens: Tokens that it reads of a text.
        figures_from: Where the figures come from, in words.
        notes: What a user should know.
    """

    id: str
    architecture: Architecture
    parameters: int
    weight_bytes: dict[str, int]
    published_bytes: int
    dimensions: int
    max_tokens: int
    figures_from: str
    notes: tuple[str, ...] = ()

    def as_model(self, measured: Mapping[str, Capacity]) -> Model:
        """What ``decide`` takes, with capacities by dtype that were measured on the device in question."""
        # As ``models.loading.precision_of`` has it; a test compares them.
        halved = self.published_bytes < 0.75 * self.weight_bytes["fp32"]
        large = self.parameters > LARGE_PARAMETERS
        return Model(self.architecture, self.weight_bytes, measured, large, better_in_16_bits=halved or large)


def model_facts(source: ModelSource) -> ModelFacts:
    """The facts of a model that ``resolve_model`` named. A model in a folder is sized by its parameters.

    Raises:
        ModelUnreachable: The catalog does not know it, and it is neither here nor on the hub.
    """
    if source.card is not None:
        return facts_of(source.card)
    fetched = fetch(source, weights=False)
    assert fetched.path is not None
    return _from_folder(fetched, load_tokenizer(fetched))


def facts_of(card: ModelCard) -> ModelFacts:
    """The facts of a model of the catalog."""
    sizes = card.weight_bytes.by_dtype()
    doubtful = [field for field in ("architecture", "parameters", "max_tokens") if field in card.unverified]
    return ModelFacts(
        id=card.id,
        architecture=card.architecture,
        parameters=card.parameters,
        weight_bytes=sizes,
        published_bytes=sizes[card.published_dtype],
        dimensions=card.dimensions or card.architecture.hidden,
        max_tokens=card.max_tokens,
        figures_from="the catalog",
        notes=(f"unverified in the catalog: {', '.join(doubtful)}",) if doubtful else (),
    )


def _from_folder(source: ModelSource, counter: TokenCounter) -> ModelFacts:
    assert source.path is not None
    counted = _count_weights(source.path)
    notes = [] if counted else ["its weights are not here: their number is computed from config.json"]
    try:
        architecture = _architecture_in(source.path)
    except UsageError as error:
        architecture = _guessed(counter.max_tokens)
        notes.append(f"{error.message}: the memory of a batch is a guess")
    parameters = max(counted or _parameters_of(architecture), architecture.linear_parameters + 1)
    return ModelFacts(
        id=source.id,
        architecture=architecture,
        parameters=parameters,
        weight_bytes=weight_bytes_by_rule(parameters, architecture.linear_parameters).by_dtype(),
        published_bytes=weight_bytes(source.path) or 4 * parameters,
        dimensions=_dimensions(source.path, architecture.hidden),
        max_tokens=counter.max_tokens,
        figures_from="config.json" + (" and its weights' headers" if counted else ""),
        notes=tuple(notes),
    )


def _architecture_in(root: Path) -> Architecture:
    for place in (root, root / "0_Transformer", root / "0"):
        if (place / "config.json").is_file():
            return architecture_of(read_json(place / "config.json"), where=str(place / "config.json"))
    raise UsageError("the model has no config.json", where=str(root))


def _guessed(max_tokens: int) -> Architecture:
    """For a model that does not say how it is built: a single wide layer, more than a static model takes."""
    return Architecture("unknown", 1, 1024, 16, 16, 64, 4096, False, 1, max_tokens)


def architecture_of(config: Mapping[str, Any], *, where: str) -> Architecture:
    """The shape that a config.json describes.

    Raises:
        UsageError: A figure is missing.
    """
    found = {name: _first(config, keys) for name, keys in _KEYS.items()}
    family = str(config.get("model_type", "unknown"))
    if found["mlp"] is None and found["hidden"]:
        found["mlp"] = 4 * found["hidden"]  # what a missing n_inner means
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise UsageError(
            f"the model's configuration does not say: {', '.join(missing)}",
            where=where,
            remedy="plan with a model of the catalog (qembed models)",
        )
    sizes = {name: int(value) for name, value in found.items() if value is not None}
    activation = str(config.get("hidden_act") or config.get("activation_function") or "").lower()
    return Architecture(
        family=family,
        **sizes,
        kv_heads=int(config.get("num_key_value_heads") or sizes["heads"]),
        head_dim=int(config.get("head_dim") or sizes["hidden"] // sizes["heads"]),
        gated_mlp=activation in _GATED or family.startswith(_GATED_FAMILIES),
    )


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    values = (config.get(key) for key in keys)
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _parameters_of(architecture: Architecture) -> int:
    """Linear layers and token embeddings; norms and biases are less than 1 %."""
    return architecture.linear_parameters + architecture.vocabulary * architecture.hidden


def _count_weights(folder: Path) -> int:
    """Float weights of all safetensors files, by their headers; 0 where there are none."""
    from math import prod

    from safetensors import SafetensorError, safe_open

    total = 0
    try:
        for path in weight_files(folder):
            with safe_open(str(path), framework="numpy") as file:
                slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
                total += sum(prod(part.get_shape()) for part in slices if "F" in part.get_dtype())
    except (OSError, SafetensorError):
        return 0  # a pointer file or a truncated download: the configuration must do
    return total


def _dimensions(root: Path, hidden: int) -> int:
    """Output dimension: that of the last Dense module if there is one, else the transformer's width."""
    dense = sorted(root.glob("*_Dense/config.json"))
    size = read_json(dense[-1]).get("out_features") if dense else None
    return size if isinstance(size, int) else hidden
