"""``corpus_from_package``: the API documentation of installed packages as a folder of chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from qembed.commands.corpus.folder import all_or_nothing, check_output, token_limit, write_chunks
from qembed.corpus import chunk_id, collection_name
from qembed.corpus.split import CountTokens, Part, Text, split_texts
from qembed.errors import UsageError
from qembed.records import Finding

if TYPE_CHECKING:
    from qembed.corpus.package.entry import Entry
    from qembed.corpus.package.read import PackageSource

MARKER = ".qembed-from-package"
"""Lies in each package's folder; only folders that have it are ever replaced."""


@dataclass(frozen=True, slots=True)
class PackageCounts:
    """What was made of one package.

    Attributes:
        name: Import name; the subdirectory of its chunks.
        version: Version of the distribution, or ``unknown``.
        entries: Documented public objects.
        chunks: Parts that they were split into.
        tokens: Tokens of all chunks, special tokens and repeated headers included.
        over_limit: Chunks whose header alone reaches the limit; the model truncates them.
        seconds: Time to read, split and write.
        files: The chunk files, relative to the output folder.
    """

    name: str
    version: str
    entries: int
    chunks: int
    tokens: int
    over_limit: int
    seconds: float
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageCorpus:
    """What ``corpus_from_package`` made; ``findings`` say what of the packages could not be read."""

    output: Path
    collection: str
    model: str
    max_tokens: int
    packages: tuple[PackageCounts, ...]
    findings: tuple[Finding, ...]


def corpus_from_package(
    names: Sequence[str],
    output: Path,
    *,
    collection: str = "python_api",
    model: str = "minilm",
    max_tokens: int | None = None,
    undocumented: bool = False,
    exclude: Sequence[str] = (),
    force: bool = False,
    on_package: Callable[[str], None] = lambda _: None,
) -> PackageCorpus:
    """Write ``<output>/<package>/<module>_chunks.json`` for each package, without running its code.

    Args:
        names: Import names of installed top-level packages, e.g. ``sklearn``.
        output: Folder to make. With ``force`` the named packages' subfolders in it are replaced.
        collection: First part of every chunk id.
        model: Its tokenizer counts; its weights are not loaded.
        max_tokens: Most tokens of a chunk; what the model reads when None.
        undocumented: Also functions, classes, methods and properties without a docstring.
        exclude: Modules to treat as private: what they define is kept where a public module re-exports it.
        force: Write into a folder that is not empty.
        on_package: Called with each name before the package is read.

    Raises:
        UsageError: A package is not installed or cannot be read; a name or ``max_tokens`` cannot be used.
        OutputExists: The folder is not empty, or a subfolder in the way was not made by this function.
        ModelUnreachable: The model's tokenizer is not on this machine.
    """
    from qembed.corpus.package.read import read_package
    from qembed.models.tokens import load_tokenizer

    names = list(dict.fromkeys(names))
    _check_names(names, exclude)
    output = Path(output)
    collection = collection_name(output, collection)
    check_output(output, names, MARKER, force=force)
    counter = load_tokenizer(model)
    limit = token_limit(max_tokens, counter.max_tokens, model)
    findings: list[Finding] = []

    def make(name: str, folder: Path) -> PackageCounts:
        on_package(name)
        package = read_package(name, undocumented=undocumented, exclude=exclude, on_finding=findings.append)
        return _make(package, folder, collection, limit, counter.count)

    made = all_or_nothing(names, output, make)
    return PackageCorpus(output, collection, model, limit, made, tuple(findings))


def _check_names(names: Sequence[str], exclude: Sequence[str]) -> None:
    if not names:
        raise UsageError("no package is given", remedy="give import names, e.g. click rich")
    for module in exclude:
        if not any(module.startswith(f"{name}.") for name in names):
            raise UsageError(
                f"--exclude {module} is not part of any of the packages", remedy="e.g. --exclude pandas.core"
            )


def _make(
    package: PackageSource, folder: Path, collection: str, limit: int, count_tokens: CountTokens
) -> PackageCounts:
    if not package.entries:
        raise UsageError(
            f"nothing in {package.name!r} is public and documented",
            remedy="leave it out, or pass --undocumented",
        )
    started = perf_counter()
    texts = [Text(entry.path, entry.title, entry.text) for entry in package.entries]
    split = split_texts(texts, limit, count_tokens)
    files = _write(folder, package, split, collection)
    parts = [part for of_entry in split for part in of_entry]
    return PackageCounts(
        name=package.name,
        version=package.version,
        entries=len(package.entries),
        chunks=len(parts),
        tokens=sum(part.tokens for part in parts),
        over_limit=sum(part.tokens > limit for part in parts),
        seconds=package.seconds + perf_counter() - started,
        files=tuple(files),
    )


def _write(folder: Path, package: PackageSource, split: list[list[Part]], collection: str) -> list[str]:
    by_module: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry, parts in zip(package.entries, split, strict=True):
        for index, part in enumerate(parts):
            by_module[entry.module].append(_chunk(entry, part, index, package, collection))
    target = folder / package.name
    target.mkdir(parents=True)
    (target / MARKER).write_text(
        "made by qembed corpus from-package; replaced with --force\n", encoding="utf-8"
    )
    names = []
    for module, chunks in sorted(by_module.items()):
        file = target / f"{module}_chunks.json"
        write_chunks(file, chunks)
        names.append(file.relative_to(folder).as_posix())
    return names


def _chunk(entry: Entry, part: Part, index: int, package: PackageSource, collection: str) -> dict[str, Any]:
    name = chunk_id(collection, package.name, entry.name, index)
    return {
        "chunk_id": name,
        "content": part.content,
        "metadata": {
            "collection": collection,
            "subdirectory": package.name,
            "source_file": entry.source_file,
            "filename": entry.name,
            "chunk_index": index,
            "kind": entry.kind,
            "qualified_name": entry.path,
            "signature": entry.title,
            "line": entry.line,
            "package_version": package.version,
        },
    }
