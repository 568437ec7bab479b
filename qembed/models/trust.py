"""Code that a model brings with it runs only when the user says so, and only a pinned version of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qembed.errors import UsageError
from qembed.models.as_published import modules_of
from qembed.models.files import read_json
from qembed.models.resolve import ModelSource

_COMMIT = re.compile(r"[0-9a-f]{40}")
_LIBRARIES = ("sentence_transformers.", "pylate.models.Dense.")  # the library has the latter itself
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


def code_that_would_run(folder: Path) -> list[str]:
    """Python of the model's own that it asks for; empty when it is made for the libraries' own classes.

    Whether transformers has a class for the same ``model_type`` makes no difference: it may compute something
    else (jina-embeddings-v2 calls itself ``bert``). A class reference like ``owner/name--file.Class`` points
    to the code of another repository.
    """
    asked = {kind for kind in _module_types(folder) if not kind.startswith(_LIBRARIES)}
    for path in sorted(folder.rglob("*config.json")):
        if path.name in _CONFIGS:
            asked.update(_references(read_json(path)))
    return sorted(asked)


def code_repositories(folder: Path) -> list[str]:
    """Other repositories whose code loading the model would execute."""
    return sorted({name.split("--")[0] for name in code_that_would_run(folder) if "--" in name})


def check_trust(
    source: ModelSource,
    *,
    trust_remote_code: bool,
    revision: str | None = None,
    code_revision: str | None = None,
) -> bool:
    """Whether the model may be loaded with its own code; False when it brings none that is needed.

    Args:
        source: With its files on this machine.
        trust_remote_code: The user allows it.
        revision: What the user asked for. Not what the hub made of it: nobody has read that.
        code_revision: Likewise, of another repository that holds the code.

    Raises:
        UsageError: It needs code and the user has not allowed it, or what would run is not pinned.
    """
    assert source.path is not None
    references = code_that_would_run(source.path)
    if not references:
        return False
    what = f"loading {source.id!r} runs Python code from the model: {', '.join(references)}"
    if not trust_remote_code:
        raise UsageError(what, where=str(source.path), remedy="read that code, then pass --trust-remote-code")
    pinned = revision or (source.card.revision if source.card else None)
    if source.kind == "hub" and not _COMMIT.fullmatch(pinned or ""):
        raise UsageError(what, remedy="pin what you have read: --revision COMMIT (40 hex digits)")
    elsewhere = code_repositories(source.path)
    if elsewhere and not _COMMIT.fullmatch(code_revision or ""):
        raise UsageError(
            f"{what}; {elsewhere[0]} is another repository",
            remedy="pin that one too: --code-revision COMMIT (40 hex digits)",
        )
    return True


def _module_types(folder: Path) -> list[str]:
    types = [module["type"] for module in modules_of(folder)]
    for path in folder.rglob("router_config.json"):
        routed = read_json(path).get("types")
        types += map(str, routed.values()) if isinstance(routed, dict) else []
    return types


def _references(config: dict[str, Any]) -> Iterator[str]:
    auto_map = config.get("auto_map")
    values = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
    for value in values:  # a tokenizer's is a list: slow, fast
        yield from (str(name) for name in (value if isinstance(value, list) else [value]) if name)
