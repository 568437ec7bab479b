"""The order of a run, in one place: score descending, then item id. Nothing is measured in another order."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qembed.errors import Mismatch


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Item ids, best first; equal scores by id.

    Args:
        scores: Item id -> score.

    Raises:
        Mismatch: A score is NaN, which has no place in any order.
    """
    for item, score in scores.items():
        if math.isnan(score):
            raise Mismatch(
                f"the score of {item!r} is not a number",
                remedy="find out what made it: a model in fp16 may overflow, try --precision fp32",
            )
    return sorted(scores, key=lambda item: (-scores[item], item))
