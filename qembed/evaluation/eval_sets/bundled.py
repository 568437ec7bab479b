"""Eval sets that come with qembed, by name: ``python_api``, ``qdrant_ecosystem``, ``handbook``, ``tiny``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qembed.evaluation.eval_sets.findings import finding, refuse
from qembed.records import OnFinding

QUERIES: Final = ("queries.jsonl", "queries.tsv")
"""Names of the file of queries; the first that is there is read."""
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


def find_eval_set(name: str | Path, on_finding: OnFinding = refuse) -> Path:
    """A folder with queries as it is given; else the bundled eval set of that name; else the path as it is.

    A folder of that name without queries does not hide the bundled eval set: the documented commands make
    such folders of chunks. That another folder was meant is possible, so it is a finding.
    """
    path = Path(name)
    bundled = bundled_eval_sets().get(str(name))
    if bundled is None or any((path / file).is_file() for file in QUERIES):
        return path
    if path.exists():
        reason = f"{str(path)!r} here has no queries; the bundled eval set of that name is used"
        on_finding(finding("bundled-instead", bundled, reason))
    return bundled
