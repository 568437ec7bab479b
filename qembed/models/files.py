"""The small files of a model folder that say how to use it: prompts and lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from qembed.errors import UsageError
from qembed.models.resolve import ModelSource

Role: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before a text, by role; empty for nothing."""

    query: str = ""
    document: str = ""

    def of(self, role: Role) -> str:
        """The prompt of one role."""
        return self.query if role == "query" else self.document


def prompts_of(source: ModelSource) -> Prompts:
    """What ``encode_query`` and ``encode_document`` put before a text; else the catalog's.

    sentence-transformers takes the prompts named ``query`` and ``document`` only. A ``default_prompt_name``
    and other names (``passage``, ``corpus``) are for its ``encode``.
    """
    config = read_json(source.path / "config_sentence_transformers.json") if source.path else {}
    prompts = config.get("prompts")
    named = prompts if isinstance(prompts, dict) else {}
    card = source.card
    return Prompts(
        query=_prompt(named, "query", card.query_prompt if card else ""),
        document=_prompt(named, "document", card.document_prompt if card else ""),
    )


def unused_prompts(source: ModelSource) -> tuple[str, ...]:
    """Prompts in the model's files that no role reads, one sentence each."""
    config = read_json(source.path / "config_sentence_transformers.json") if source.path else {}
    prompts = config.get("prompts")
    if not isinstance(prompts, dict) or prompts.get("document"):
        return ()
    others = [name for name in ("passage", "corpus") if isinstance(prompts.get(name), str) and prompts[name]]
    return tuple(
        f"its files name a prompt {name!r}, which sentence-transformers does not put before documents; "
        f"--document-prompt {prompts[name]!r} does"
        for name in others[:1]
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


def _prompt(prompts: dict[str, Any], role: Role, otherwise: str) -> str:
    prompt = prompts.get(role)
    return prompt if isinstance(prompt, str) else otherwise
