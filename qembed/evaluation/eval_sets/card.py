"""The card of an eval set: ``card.toml`` beside its queries, which says what was judged, and how."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import orjson

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.findings import finding, refuse
from qembed.evaluation.eval_sets.lines import write_lines
from qembed.records import OnFinding

Level: TypeAlias = Literal["chunk", "page"]
LEVELS: tuple[Level, ...] = get_args(Level)

CARD = "card.toml"


@dataclass(frozen=True, slots=True)
class Card:
    """What an eval set says of itself; a folder without a card is a plain BEIR folder.

    Attributes:
        name: Shown in reports.
        level: What qrels name: chunks by id, or pages by ``{subdirectory}/{filename}``.
        split: Which qrels are read unless another split is asked for.
        synthetic: The queries were made by a program and nobody has judged; every report says so.
        pool_depth: How many results of each system were judged; None where that is not known.
        judged_by: Who judged: ``people``, or e.g. ``a language model``, which every report then says.
        description: What it is, in words.
        licence: Licence of the queries and qrels.
        packages: Pins of the packages whose documentation is the corpus, e.g. ``click==8.5.1``.
        corpus: A command line, or words, that say how the corpus is made.
    """

    name: str
    level: Level = "chunk"
    split: str = "test"
    synthetic: bool = False
    pool_depth: int | None = None
    judged_by: str = ""
    description: str = ""
    licence: str = ""
    packages: tuple[str, ...] = ()
    corpus: str = ""


_TYPES: dict[str, tuple[type, str]] = {
    "synthetic": (bool, "true or false"),
    "pool_depth": (int, "a whole number"),
    "packages": (list, "a list of strings"),
}
_KEYS = tuple(field.name for field in fields(Card))
_DEFAULTS = {field.name: field.default for field in fields(Card) if field.default is not MISSING}


def read_card(folder: Path, on_finding: OnFinding = refuse) -> Card:
    """The card in a folder; the card of a plain BEIR folder, named like it, where there is none.

    Raises:
        UsageError: The card is not TOML, or a value cannot be used.
    """
    path = folder / CARD
    name = folder.resolve().name
    if not path.is_file():
        return Card(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the card is not TOML: {error}", where=str(path), remedy="correct it") from error
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"the card cannot be read: {error}", where=str(path), remedy="correct it") from error
    for key in sorted(values.keys() - set(_KEYS)):
        close = get_close_matches(key, _KEYS, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
        on_finding(finding("unknown-card-key", path, f"unknown key {key!r}; {meant}"))
    known = {key: _checked(key, values[key], path) for key in _KEYS if key in values}
    return Card(**{"name": name, **known})


def write_card(folder: Path, card: Card) -> None:
    """Write ``card.toml``: what differs from the defaults, and always name, level, split and synthetic.

    Raises:
        QembedError: The disk is full or cannot be written.
    """
    always = ("name", "level", "split", "synthetic")
    values = {key: getattr(card, key) for key in _KEYS}
    kept = {key: value for key, value in values.items() if key in always or value != _DEFAULTS[key]}
    write_lines(folder / CARD, as_toml(kept))


def as_toml(values: Mapping[str, Any]) -> list[str]:
    """Flat TOML, one line a key: strings, booleans, whole numbers, and lists of strings."""
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    # A JSON string is a TOML string, but for the one control character that JSON leaves as it is.
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")


def _checked(key: str, value: Any, path: Path) -> Any:
    kind, words = _TYPES.get(key, (str, "a string"))
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not right or (kind is list and not all(isinstance(each, str) for each in value)):
        raise UsageError(f"{key!r} must be {words}, not {value!r}", where=str(path), remedy="correct it")
    if key == "level" and value not in LEVELS:
        raise UsageError(
            f"'level' must be one of {', '.join(LEVELS)}, not {value!r}", where=str(path), remedy="correct it"
        )
    if (key == "pool_depth" and value < 1) or (key in ("name", "split") and not value.strip()):
        raise UsageError(f"{key!r} cannot be {value!r}", where=str(path), remedy="correct it, or remove it")
    return tuple(value) if kind is list else value
