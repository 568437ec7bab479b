"""The weight files of a model folder: complete, safetensors only, and their hash."""

from __future__ import annotations

import re
from hashlib import file_digest, sha256
from math import prod
from pathlib import Path

import orjson

from qembed.errors import UsageError

_SHARD = re.compile(r"-\d+-of-(\d+)\.safetensors$")
_CONFIG = (".json", ".txt", ".model", ".py")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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
    return (
        bool(files) and complete and all(any(place.glob("*.safetensors")) for place in _transformers(folder))
    )


def require_safetensors(folder: Path) -> None:
    """Refuse a model, or a module of it, whose weights are only there as pickles.

    Raises:
        UsageError: naming the file that would have had to be unpickled.
    """
    for path in sorted(folder.rglob("*")):
        openvino = path.with_suffix(".xml").is_file()  # raw numbers, and not read by qembed
        if path.suffix in _PICKLES and not openvino and not any(path.parent.glob("*.safetensors")):
            raise UsageError(
                "these weights are a pickle, which can run code when it is read",
                where=str(path),
                remedy="convert them where you trust them: SentenceTransformer(...).save_pretrained(folder)",
            )
    if not has_weights(folder):
        raise UsageError(
            "the model's weights are missing or incomplete (no *.safetensors, or not all shards)",
            where=str(folder),
            remedy="download the model again",
        )


def _transformers(folder: Path) -> list[Path]:
    """Folders of the modules that cannot be without weights."""
    try:
        modules = orjson.loads((folder / "modules.json").read_bytes())
        return [folder / module["path"] for module in modules if module["type"].endswith(".Transformer")]
    except (OSError, ValueError, TypeError, KeyError):
        return []  # a folder of transformers alone; a broken file is reported where it is used


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
    return _sha256(files[0]) if len(files) == 1 else _sha256_of_all(folder, files)


def config_sha256(folder: Path) -> str:
    """SHA-256 over the files beside the weights that decide a vector: tokenizer, prompts, pooling, code."""
    files = [path for path in folder.rglob("*") if path.suffix in _CONFIG and path.is_file()]
    return _sha256_of_all(folder, sorted(files, key=lambda path: path.relative_to(folder).as_posix()))


def _sha256_of_all(folder: Path, files: list[Path]) -> str:
    lines = (f"{path.relative_to(folder).as_posix()} {_sha256(path)}\n" for path in files)
    return sha256("".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
