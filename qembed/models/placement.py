"""Where the weights go while they are read, and in which numbers they are kept."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from qembed.errors import UsageError

QUANTIZED = ("int8", "nf4")


def placement_of(device: str, dtype: str, compute: Any, *, shard: bool) -> dict[str, Any]:
    """What transformers needs to know to quantise, and to put each weight on its device as it is read.

    Without it a model is read into host memory whole and then copied, as on a CPU, or where accelerate is not
    installed.

    Args:
        device: The device, or the first of several.
        dtype: Precision, as ``models.device.pick_precision`` names it.
        compute: torch's dtype of activations and of weights that are not quantised.
        shard: Spread the layers over all GPUs.
    """
    if dtype not in QUANTIZED and not shard and not loads_directly(device):
        return {}
    where: Any = "balanced" if shard else {"": device}  # layers in order, the same share on every GPU
    if dtype not in QUANTIZED:
        return {"device_map": where}
    from transformers import BitsAndBytesConfig

    if dtype == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return {"device_map": where, "quantization_config": quantization}


def loads_directly(device: str) -> bool:
    """Whether weights are read onto the device without a copy of the model in host memory."""
    return device.startswith("cuda") and find_spec("accelerate") is not None


def loads_through_host(device: str) -> bool:
    """Whether a GPU's weights are read into host memory first, where there is room for one large model."""
    return device.startswith("cuda") and not loads_directly(device)


def staying(library: Any) -> Any:
    """A class of sentence-transformers whose models stay where accelerate and bitsandbytes put them.

    sentence-transformers 5 moves every model to one device. Before 5.5 it also goes by the name of the class:
    under another name it discards ``modules.json``, so the name stays.
    """

    class Placed(library):  # type: ignore[misc]
        def to(self, *_: Any, **__: Any) -> Any:
            return self

    Placed.__name__, Placed.__qualname__ = library.__name__, library.__qualname__
    Placed.__module__, Placed.__doc__ = library.__module__, library.__doc__
    return Placed


def move_around_networks(module: Any, device: str, dtype: Any) -> None:
    """Move a module of sentence-transformers, except for transformers in it: these are where they belong."""
    from transformers import PreTrainedModel

    if isinstance(module, PreTrainedModel):
        return
    if not any(isinstance(part, PreTrainedModel) for part in module.modules()):
        module.to(device=device, dtype=dtype)
        return
    for child in module.children():
        move_around_networks(child, device, dtype)


def first_of_all_gpus() -> str:
    """The first GPU, where a model can be spread over several.

    Raises:
        UsageError: There are fewer than two; or accelerate is not installed.
    """
    import torch

    found = torch.cuda.device_count()
    if found < 2:
        raise UsageError(
            f"--shard spreads a model over several GPUs and {found} are there",
            remedy="leave --shard out; --precision nf4 needs a quarter of the memory of fp16",
        )
    if find_spec("accelerate") is None:
        raise UsageError("--shard needs accelerate", remedy="pip install accelerate")
    return "cuda:0"
