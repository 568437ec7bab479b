"""Whether what was loaded is what the model's own files describe: its modules, and how they pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from qembed.errors import QembedError, UsageError
from qembed.models.files import read_json

_FLAGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How older files name what ``pooling_mode`` says in newer ones."""

_READERS: Final = ("StaticEmbedding", "WordEmbeddings", "BoW")
"""Modules that read text and are no transformers."""

_RENAMED: Final = {"Asym": "Router"}


def modules_of(folder: Path) -> list[dict[str, Any]]:
    """The list in ``modules.json``; empty without the file.

    Raises:
        UsageError: It is not a list of modules.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        modules = orjson.loads(path.read_bytes())
        return [{**module, "type": str(module["type"]), "path": str(module["path"])} for module in modules]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"not a list of modules: {error}", where=str(path)) from None


def input_module(folder: Path) -> tuple[Path, str]:
    """The folder and the class of the module that reads documents.

    ``Transformer`` where the files name no modules. Where queries and documents take different routes, it is
    the first module of the documents' route.
    """
    listed = modules_of(folder)
    if not listed:
        return folder, "Transformer"
    place, kind = folder / listed[0]["path"], class_name(listed[0]["type"])
    if kind != "Router":
        return place, kind if kind in _READERS else "Transformer"
    config = read_json(place / "router_config.json") or read_json(place / "config.json")
    routes, types = config.get("structure"), config.get("types")
    if not isinstance(routes, dict) or not isinstance(types, dict) or not routes:
        raise UsageError("the routes of the model are not described", where=str(place))
    parameters = config.get("parameters") or {}
    route = "document" if "document" in routes else parameters.get("default_route") or next(iter(routes))
    first = routes[route][0]
    return place / first, class_name(str(types[first]))


def check_modules(model: Any, folder: Path, *, model_id: str, more: bool = False) -> None:
    """Compare the modules of a loaded model with ``modules.json`` and the pooling with its own file.

    sentence-transformers decides by names of classes, differently in each version, whether it reads these
    files. Where it does not, it makes modules of its own: the vectors are wrong, and nothing is said.

    Args:
        model: The sentence-transformers model.
        folder: Its files.
        model_id: For the message.
        more: Whether the library may add modules behind those of the files, as for older ColBERT models.

    Raises:
        QembedError: They differ.
    """
    listed = modules_of(folder)
    if not listed:
        return
    wanted = [class_name(module["type"]) for module in listed]
    found = [type(module).__name__ for module in model]
    if (found[: len(wanted)] if more else found) != wanted:
        raise _not_as_published(model_id, folder, " + ".join(found), " + ".join(wanted))
    for module, entry in zip(model, listed, strict=False):
        if type(module).__name__ == "Pooling":
            _check_pooling(module, folder / entry["path"], model_id)


def pooling_of(config: dict[str, Any]) -> tuple[str, ...]:
    """The modes in a pooling's configuration, in the order in which their vectors are joined."""
    mode = config.get("pooling_mode")
    if mode is None:
        return tuple(name for flag, name in _FLAGS.items() if config.get(flag)) or ("mean",)
    return (mode,) if isinstance(mode, str) else tuple(mode)


def _check_pooling(module: Any, folder: Path, model_id: str) -> None:
    config = read_json(folder / "config.json")
    wanted, found = pooling_of(config), pooling_of(module.get_config_dict())
    prompt = bool(config.get("include_prompt", True)) == bool(getattr(module, "include_prompt", True))
    if wanted != found or not prompt:
        raise _not_as_published(model_id, folder, f"{found} pooling", f"{wanted} pooling")


def class_name(reference: str) -> str:
    """``Pooling`` of ``sentence_transformers.models.Pooling``, by its newest name."""
    name = reference.rpartition(".")[2]
    return _RENAMED.get(name, name)


def _not_as_published(model_id: str, folder: Path, found: str, wanted: str) -> QembedError:
    from sentence_transformers import __version__

    return QembedError(
        f"sentence-transformers {__version__} makes {found} of {model_id!r}; its own files say {wanted}",
        where=str(folder),
        remedy="pip install -U sentence-transformers",
    )
