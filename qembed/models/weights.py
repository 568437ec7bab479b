"""The weight files of a model folder: complete, safetensors only, and their hash."""

from __future__ import annotations

import re
from hashlib import sha256
from math import prod
from pathlib import Path

import orjson

from qembed.errors import UsageError
from qembed.models.hashes import file_sha256

_SHARD = re.compile(r"-\d+-of-(\d+)\.safetensors$")
_CONFIG = (".json", ".txt", ".model", ".py")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_EXPORTS = {"ONNX": "*.onnx", "OpenVINO": "openvino_model*.xml", "llama.cpp": "*.gguf"}
_WEIGHTLESS = {"BoW", "Pooling", "Normalize", "Dropout"}


def weight_files(folder: Path) -> list[Path]:
    """Every safetensors file of the model, in a stable order."""
    files = (path for path in folder.rglob("*.safetensors") if path.is_file())  # no dangling links
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def has_weights(folder: Path) -> bool:
    """Whether the weights are there, with all their shards."""
    files = weight_files(folder)
    shards: dict[tuple[Path, int], int] = {}
    for file in files:
        if match := _SHARD.search(file.name):
            key = (file.parent, int(match[1]))
            shards[key] = shards.get(key, 0) + 1
    complete = all(found == wanted for (_, wanted), found in shards.items())
    needed = [place for place, kind in _modules(folder) if kind == "Transformer"]
    there = all(any(place.glob("*.safetensors")) for place in needed)
    return complete and there and (bool(files) or _is_weightless(folder))


def require_weights(folder: Path) -> None:
    """Refuse a model whose weights are missing, or, of a module too, only there as pickles or for ONNX.

    Raises:
        UsageError: saying what the folder holds instead.
    """
    for path in sorted(folder.rglob("*")):
        openvino = path.with_suffix(".xml").is_file()  # raw numbers, and not read by qembed
        if path.suffix in _PICKLES and not openvino and not any(path.parent.glob("*.safetensors")):
            raise UsageError(
                "these weights are a pickle, which can run code when it is read",
                where=str(path),
                remedy="convert them where you trust them: SentenceTransformer(...).save_pretrained(folder)",
            )
    if has_weights(folder):
        return
    exported = next((kind for kind, name in _EXPORTS.items() if any(folder.rglob(name))), None)
    if exported:
        raise UsageError(
            f"the folder holds the model for {exported} only, which qembed does not run",
            where=str(folder),
            remedy="get the model's safetensors",
        )
    raise UsageError(
        "the model's weights are missing or incomplete (no *.safetensors, or not all shards)",
        where=str(folder),
        remedy="download the model again",
    )


def _is_weightless(folder: Path) -> bool:
    """Whether the model is made of counts and word lists alone."""
    kinds = {kind for _, kind in _modules(folder)}
    return bool(kinds) and kinds <= _WEIGHTLESS


def _modules(folder: Path) -> list[tuple[Path, str]]:
    """The folder and the class of each module; none where the list is broken, which is reported elsewhere."""
    try:
        modules = orjson.loads((folder / "modules.json").read_bytes())
        return [(folder / module["path"], module["type"].rpartition(".")[2]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def weight_bytes(folder: Path) -> int:
    """Bytes of all weight files on disk."""
    return sum(path.stat().st_size for path in weight_files(folder))


def stored_in_16_bits(folder: Path) -> bool:
    """Whether most of the weights' numbers are float16 or bfloat16 in the files."""
    from safetensors import SafetensorError, safe_open

    sizes = {True: 0, False: 0}
    try:
        for file in weight_files(folder):
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    piece = tensors.get_slice(name)
                    sizes[piece.get_dtype() in ("F16", "BF16")] += prod(piece.get_shape())
    except SafetensorError:
        return False  # said with more words where the weights are loaded
    return sizes[True] > sizes[False]


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights: of the file where there is one, else of the lines ``{name} {sha256}``."""
    files = weight_files(folder)
    return file_sha256(files[0]) if len(files) == 1 else _sha256_of_all(folder, files)


def config_sha256(folder: Path) -> str:
    """SHA-256 over the files beside the weights that decide a vector: tokenizer, prompts, pooling, code."""
    files = [path for path in folder.rglob("*") if path.suffix in _CONFIG and path.is_file()]
    return _sha256_of_all(folder, sorted(files, key=lambda path: path.relative_to(folder).as_posix()))


def _sha256_of_all(folder: Path, files: list[Path]) -> str:
    lines = (f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n" for path in files)
    return sha256("".join(lines).encode()).hexdigest()
