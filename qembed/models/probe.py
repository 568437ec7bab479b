"""Whether two encoders are the same model: both encode one probe text, and parts of the vectors are compared.

A hash of the files does not show that another version of a library computes something else of them, or that
weights were made up. The vector of a text does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from qembed.errors import Mismatch
from qembed.models.files import Role
from qembed.models.info import EncoderInfo
from qembed.records import Vectors

TEXT: Final = "A probe: the same text for every worker, and for every later query."
_NUMBERS: Final = 32
"""Dimensions that are kept of each vector, from its beginning."""

LEAST_COSINE: Final = {"fp32": 0.9999, "int16": 0.9999, "bf16": 0.99, "fp16": 0.999, "int8": 0.97, "nf4": 0.8}
"""Between the parts of two encoders, by the coarser precision of both.

One process and another differ by rounding only. Random weights come out below 0.6 with 64 numbers.
"""


def probe_of(encode: Callable[[Sequence[str], Role], Vectors]) -> tuple[float, ...]:
    """The beginnings of the probe text's vectors as a document and as a query, six digits of each number.

    Args:
        encode: Texts and their role to float32 (texts, dimension).
    """
    roles: tuple[Role, ...] = ("document", "query")
    parts = [encode([TEXT], role)[0, :_NUMBERS] for role in roles]
    return tuple(float(f"{number:.6g}") for number in np.concatenate(parts).tolist())


def check_probe(expected: Sequence[float], expected_dtype: str, found: EncoderInfo, *, what: str) -> None:
    """Compare the probe of a loaded model with one that was kept.

    Args:
        expected: As ``probe_of`` gives it; empty in files of older versions, which are not checked.
        expected_dtype: Precision in which it was made.
        found: The model.
        what: Who made the expected one, for the message.

    Raises:
        Mismatch: They are vectors of different models.
    """
    if not expected or not found.probe:
        return
    least = min(LEAST_COSINE.get(dtype, 0.9999) for dtype in (expected_dtype, found.dtype))
    cosine = _cosine(expected, found.probe)
    if not cosine >= least:
        raise Mismatch(
            f"{found.id} does not compute what {what} computed: the vectors of a probe text have a cosine of "
            f"{cosine:.4f}, at least {least} is expected of {expected_dtype} and {found.dtype}",
            where=f"on {found.device_name}",
            remedy="take the manifest's transformers and sentence-transformers, or embed again",
        )


def _cosine(expected: Sequence[float], found: Sequence[float]) -> float:
    if len(expected) != len(found):
        return -1.0
    a, b = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float(np.array_equal(a, b))
