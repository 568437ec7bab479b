"""The small files of a model folder that say how to use it: prompts and lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from qembed.errors import UsageError
from qembed.models.resolve import ModelSource

Role: TypeAlias = Literal["query", "document"]

_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before a text, by role; empty for nothing."""

    query: str = ""
    document: str = ""

    def of(self, role: Role) -> str:
        """The prompt of one role."""
        return self.query if role == "query" else self.document


def prompts_of(source: ModelSource) -> Prompts:
    """The prompts in the model's own files; where these name none for a role, the catalog's."""
    config = read_json(source.path / "config_sentence_transformers.json") if source.path else {}
    card = source.card
    return Prompts(
        query=_prompt(config, "query", card.query_prompt if card else ""),
        document=_prompt(config, "document", card.document_prompt if card else ""),
    )


def read_json(path: Path) -> dict[str, Any]:
    """An optional JSON object: empty where the file is absent.

    Raises:
        UsageError: The file is there but is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UsageError(f"not valid JSON: {error}", where=str(path)) from None
    if not isinstance(value, dict):
        raise UsageError("expected a JSON object", where=str(path))
    return value


def _prompt(config: dict[str, Any], role: Role, otherwise: str) -> str:
    prompts = config.get("prompts")
    if not isinstance(prompts, dict):
        return otherwise
    for name in (*_PROMPT_NAMES[role], config.get("default_prompt_name")):
        if isinstance(prompts.get(name), str):
            return str(prompts[name])
    return otherwise
