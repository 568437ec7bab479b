"""Cheaper forms of vectors (cut, fewer bits, signs), and what a search in them finds. Pure.

Every form is turned back into float32 numbers and searched exactly, so what is measured is the form and
nothing else, neither an approximate index nor an engine's arithmetic. All vectors begin with length 1.

    float32      as they are; with fewer dimensions: the first ones, scaled to length 1 again (Matryoshka)
    fp16         rounded to half precision
    int8         256 equal steps per dimension between two quantiles of all texts, values outside clipped;
                 the query stays in float32 (asymmetric)
    binary       a sign a dimension (1 above 0) of texts and query: ordered as by Hamming distance
    binary-asym  the texts' signs against the query in float32

**Rescoring**: the first ``rescore * k`` results stand in the order of the float32 vectors of the same
dimension, the others behind them as they were. That is what Qdrant does with ``rescore`` and ``oversampling``
for a search of ``limit = k``.

Qdrant's own int8 takes one range over all dimensions and rounds the query as well; docs/sweep.md compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from qembed.index.protocol import SCORE_DECIMALS
from qembed.records import Vectors

Kind: TypeAlias = Literal["float32", "fp16", "int8", "binary", "binary-asym"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

QUANTILE: Final = 0.99
"""Share of a dimension's values that the steps of int8 span; half of the rest is clipped on either side."""

_BITS: Final[dict[Kind, int]] = {"float32": 32, "fp16": 16, "int8": 8, "binary": 1, "binary-asym": 1}
_STEPS: Final = 255
_BLOCK_BYTES: Final = 64 * 2**20
_ROWS: Final = 8192

Rows: TypeAlias = npt.NDArray[np.int64]
"""int64 (queries, depth): rows of stored vectors, the best first."""


@dataclass(frozen=True, slots=True)
class Form:
    """How vectors are kept.

    Attributes:
        dimension: How many of the first dimensions.
        kind: Kind of its numbers.
        rescore: Oversampling of the rescoring; 0 without.
    """

    dimension: int
    kind: Kind = "float32"
    rescore: int = 0

    @property
    def name(self) -> str:
        """``384 int8``; ``384 int8 +rescore``."""
        return f"{self.dimension} {self.kind}" + (" +rescore" if self.rescore else "")

    @property
    def bytes(self) -> int:
        """Bytes of one vector as it is searched, without the engine's own overhead."""
        return -(-self.dimension * _BITS[self.kind] // 8)

    @property
    def rescoring_bytes(self) -> int:
        """Bytes of the float32 vector read for rescoring, which may be on a disk; 0 without rescoring."""
        return 4 * self.dimension if self.rescore else 0


def forms(
    dimension: int, dims: Sequence[int], kinds: Sequence[Kind], *, oversample: int, combine: bool = False
) -> list[Form]:
    """The full float32 vectors first, then every other form, each once.

    Args:
        dimension: Dimension of the stored vectors.
        dims: To cut to, at most ``dimension``.
        kinds: Kinds of numbers; ``float32`` is always included.
        oversample: int8 and binary also with this rescoring; 0 for without.
        combine: Every kind in every dimension; else other kinds in the full one only.
    """
    found = [Form(dimension)]
    cuts = sorted({size for size in dims if size < dimension}, reverse=True)
    found += [Form(size) for size in cuts]
    for size in (dimension, *cuts) if combine else (dimension,):
        for kind in dict.fromkeys(kind for kind in kinds if kind != "float32"):
            found.append(Form(size, kind))
            if oversample and _BITS[kind] <= 8:
                found.append(Form(size, kind, oversample))
    return found


def search(stored: Vectors, queries: Vectors, form: Form, *, depth: int, k: int) -> Rows:
    """What an exact search in vectors of a form finds.

    Args:
        stored: float32 (texts, dimension), of any length but 0; ties go to the smaller row.
        queries: float32 (queries, dimension).
        form: A form of at most that dimension.
        depth: Results of each query; fewer where there are fewer texts.
        k: What the user asks for; rescoring sees ``form.rescore`` times as many, and at most ``depth``.
    """
    there, asked = cut(stored, form.dimension), cut(queries, form.dimension)
    rows = nearest(as_stored(there, form.kind), as_asked(asked, form.kind), depth)
    pool = min(form.rescore * k, rows.shape[1])
    for at in range(len(rows) if pool else 0):
        head = np.sort(rows[at, :pool])
        scores = _scores(there[head], asked[at : at + 1])[0]
        rows[at, :pool] = head[np.argsort(-scores, kind="stable")]
    return rows


def cut(vectors: Vectors, dimension: int) -> Vectors:
    """The first ``dimension`` numbers, scaled to length 1; float32. Where all of them are 0 they stay so."""
    wide = vectors[:, :dimension].astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Vectors = np.divide(wide, lengths, out=wide, where=lengths > 0).astype(np.float32)
    return unit


def as_stored(vectors: Vectors, kind: Kind) -> Vectors:
    """What a search sees of vectors that are kept in a kind; float32, the same shape."""
    match kind:
        case "float32":
            return vectors
        case "fp16":
            return vectors.astype(np.float16).astype(np.float32)
        case "int8":
            return _eight_bits(vectors)
        case _:
            return _signs(vectors)


def as_asked(queries: Vectors, kind: Kind) -> Vectors:
    """What a search sees of the queries: signs for ``binary``, else all; float32, the same shape."""
    return _signs(queries) if kind == "binary" else queries


def nearest(stored: Vectors, queries: Vectors, depth: int) -> Rows:
    """Rows of the vectors with the highest dot product, best first; equal ones (to 7 decimals) by row."""
    depth = min(depth, len(stored))
    rows = np.empty((len(queries), depth), dtype=np.int64)
    size = max(1, _BLOCK_BYTES // (8 * max(1, len(stored))))
    for start in range(0, len(queries), size):
        for at, scores in enumerate(_scores(stored, queries[start : start + size]), start=start):
            least = np.partition(scores, len(scores) - depth)[len(scores) - depth] if depth else 0
            able = np.flatnonzero(scores >= least)
            rows[at] = able[np.argsort(-scores[able], kind="stable")[:depth]]
    return rows


def _scores(stored: Vectors, queries: Vectors) -> npt.NDArray[np.float64]:
    """float64 (queries, texts), rounded so that copies of a vector tie wherever they stand."""
    wide = queries.astype(np.float64)
    parts = [
        wide @ stored[start : start + _ROWS].astype(np.float64).T for start in range(0, len(stored), _ROWS)
    ]
    scores: npt.NDArray[np.float64] = np.concatenate(parts, axis=1).round(SCORE_DECIMALS)
    return scores


def _eight_bits(vectors: Vectors) -> Vectors:
    tail = (1 - QUANTILE) / 2
    low, high = np.quantile(vectors, [tail, 1 - tail], axis=0).astype(np.float32)
    step = (high - low) / _STEPS
    codes = np.zeros_like(vectors)
    np.divide(vectors - low, step, out=codes, where=step > 0)
    decoded: Vectors = low + codes.clip(0, _STEPS).round() * step
    return decoded


def _signs(vectors: Vectors) -> Vectors:
    return np.where(vectors > 0, np.float32(1), np.float32(-1))
