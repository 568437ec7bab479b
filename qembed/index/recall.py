"""How much of the truth an approximate index finds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qembed.index.protocol import Index


def ann_recall(
    index: Index, exact: Index, queries: npt.NDArray[np.float32], k: int
) -> npt.NDArray[np.float64]:
    """ANN recall@k: which share of the ``k`` nearest points of ``exact`` does ``index`` give among its ``k``.

    It says nothing about relevance. Both break ties by chunk id, so copies of one vector cost nothing.

    Args:
        index: The one in question.
        exact: Holds the same points and compares with all of them.
        queries: float32 (queries, dimension).
        k: At least 1.

    Returns:
        float64 (queries,), 0 to 1; of fewer than ``k`` points, the share of them; NaN without any point.
    """
    recalls = []
    for found, wanted in zip(
        index.search_many(queries, depth=k), exact.search_many(queries, depth=k), strict=True
    ):
        names = {hit.chunk_id for hit in wanted}
        recalls.append(len(names & {hit.chunk_id for hit in found}) / len(names) if names else np.nan)
    return np.array(recalls, dtype=np.float64)
