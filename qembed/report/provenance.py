"""Where numbers come from, and the commands that give them again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qembed.report.embedding import Embedding
from qembed.report.stored import StoredBench
from qembed.report.tables import Cell, Table
from qembed.report.words import NONE, duration
from qembed.shell import shell_line
from qembed.store.environment import DISTRIBUTION

_MEASURING = ("numpy", "scipy", "pandas", "ranx", "numba")
"""Libraries that a comparison of runs uses."""


def provenance_table(bench: StoredBench, embeddings: list[Embedding]) -> Table:
    """Every version, hash and setting: what of, key, value."""
    document = bench.document
    rows: list[tuple[str, str, Any]] = [
        ("bench", "made", document["created"]),
        ("bench", "took", duration(document["seconds"])),
        ("bench", "folder", bench.folder.name),
    ]
    judged = {key: value for key, value in document["eval_set"].items() if key != "description"}
    rows += flat("eval set", judged)
    for name, side in zip(("vectors", "baseline"), document["sides"], strict=False):
        rows += flat(name, {key: value for key, value in side.items() if key != "lengths"})
    for system in bench.systems:
        rows += flat(system["name"], system["info"])
    rows += flat("options", document["options"])
    rows += flat("environment", document["environment"])
    for embedding in embeddings:
        if embedding.manifest:
            rows += flat(f"embedding of {embedding.title}", embedding.manifest)
    cells = [[Cell(part), Cell(key), Cell(value)] for part, key, value in _shown(rows)]
    return Table("Provenance", ["Of", "What", "Value"], cells)


def repeat_commands(bench: StoredBench, embeddings: list[Embedding]) -> list[tuple[str, str]]:
    """What to run to get these numbers again: why, and the command line; none where only words are known."""
    document = bench.document
    made = document["environment"]
    compared = document.get("command") == "compare"
    versions = {
        name: version
        for part in ("libraries", "evaluation_libraries")
        for name, version in made.get(part, {}).items()
        if version and (not compared or name in _MEASURING)
    }
    # "2.13.0+cpu" is what a build calls itself; the registry has 2.13.0.
    pins = " ".join(f"{name}=={version.partition('+')[0]}" for name, version in versions.items())
    steps = [_installed(made), ("the libraries that were used", f"pip install {pins}")]
    packages = document["eval_set"]["packages"]
    if packages:
        steps.append(("the packages that the corpus is made of", f"pip install {' '.join(packages)}"))
    corpus = document["eval_set"]["corpus"]
    if corpus:
        command = corpus.startswith("qembed ")
        steps.append(("the corpus", corpus) if command else (f"the corpus: {corpus}", ""))
    steps += [
        ("the vectors", shell_line(*embedding.command)) for embedding in embeddings if embedding.command
    ]
    steps.append((f"this {'comparison' if compared else 'bench'}", shell_line(*made["command"])))
    steps.append(("this page", shell_line("qembed", "report", bench.folder)))
    return steps


def _installed(made: dict[str, Any]) -> tuple[str, str]:
    """How the qembed that made the numbers was installed; no command where that is not known."""
    found = made.get("installation", {"from": ""})
    version = f"{DISTRIBUTION} {made['qembed']}"
    commit = str(found.get("commit") or "")
    match found["from"]:
        case "index":
            return version, f"pip install {DISTRIBUTION}=={made['qembed']}"
        case "archive":
            return version, shell_line("pip", "install", found["url"])
        case "vcs" if "url" in found:
            source = f"{found['vcs']}+{found['url']}@{commit}"
            return version, shell_line("pip", "install", source)
    if not commit:
        return f"{version}; how it was installed is not recorded", ""
    clean = commit.removesuffix("-dirty")
    changed = ", with changes that were not committed" if commit != clean else ""
    return f"{version}, in its repository{changed}", f"git checkout {clean} && pip install ."


def flat(part: str, value: Any, key: str = "") -> Iterator[tuple[str, str, Any]]:
    """Part, key and value of everything in a document; keys of inner objects are joined by dots."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(part, inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        if any(isinstance(inner, dict) for inner in value):
            for at, inner in enumerate(value):
                yield from flat(part, inner, f"{key}[{at}]")
        elif key.rpartition(".")[2] == "command":
            yield part, key, shell_line(*value)
        else:
            yield part, key, ", ".join(map(str, value))
    else:
        yield part, key, value


def _shown(rows: list[tuple[str, str, Any]]) -> Iterator[tuple[str, str, str]]:
    for part, key, value in rows:
        yield part, key, NONE if value is None or value == "" else str(value)
