"""Eval sets that come with qembed, by name: ``python_api``, ``qdrant_ecosystem``, ``handbook``, ``tiny``."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_PLACES = (_PACKAGE / "eval_sets", _PACKAGE.parent / "eval_sets")
"""In an installed package, and in a checkout."""


def bundled_eval_sets() -> dict[str, Path]:
    """Name -> folder, by name."""
    found: dict[str, Path] = {}
    for place in _PLACES:
        for card in sorted(place.glob("*/card.toml")):
            found.setdefault(card.parent.name, card.parent)
    return found


def find_eval_set(name: str | Path) -> Path:
    """A folder as it is given; else the bundled eval set of that name; else the path, whatever it is."""
    path = Path(name)
    return path if path.exists() else bundled_eval_sets().get(str(name), path)
