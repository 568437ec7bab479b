"""Code that a model brings with it runs only when the user says so, and only a pinned version of it."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from qembed.errors import UsageError
from qembed.models.files import read_json
from qembed.models.resolve import ModelSource

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_LIBRARY = "sentence_transformers."


def code_that_would_run(folder: Path) -> list[str]:
    """Python of the model's own that loading it would execute; empty when the libraries know the model.

    A class reference like ``owner/name--file.Class`` points to the code of another repository.
    """
    references = [kind for kind in _module_types(folder) if not kind.startswith(_LIBRARY)]
    for config_path in sorted(folder.rglob("config.json")):
        config = read_json(config_path)
        auto_map = config.get("auto_map")
        if isinstance(auto_map, dict) and not _is_native(str(config.get("model_type"))):
            references += [str(reference) for reference in auto_map.values()]
    return sorted(set(references))


def check_trust(source: ModelSource, *, trust_remote_code: bool, code_revision: str | None = None) -> bool:
    """Whether the model may be loaded with its own code; False when it brings none that is needed.

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
    if source.kind == "hub" and not _COMMIT.match(source.revision or ""):
        raise UsageError(what, remedy="pin what you have read: --revision COMMIT (40 hex digits)")
    elsewhere = [reference for reference in references if "--" in reference]
    if elsewhere and not _COMMIT.match(code_revision or ""):
        raise UsageError(
            f"{what}; {elsewhere[0].split('--')[0]} is another repository",
            remedy="pin that one too: --code-revision COMMIT (40 hex digits)",
        )
    return True


def _module_types(folder: Path) -> list[str]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        return [str(module["type"]) for module in orjson.loads(path.read_bytes())]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"not a list of modules: {error}", where=str(path)) from None


def _is_native(model_type: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES
