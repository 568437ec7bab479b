"""qembed: evaluation-first embedding and retrieval.

The names below are the public Python API. They are imported on first use, so ``import qembed`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qembed.api.audit import audit as audit
    from qembed.api.embed import EmbedOptions as EmbedOptions
    from qembed.api.embed import embed as embed
    from qembed.api.inspect import inspect as inspect
    from qembed.api.package_corpus import corpus_from_package as corpus_from_package
    from qembed.api.plan import PlanOptions as PlanOptions
    from qembed.api.plan import plan as plan
    from qembed.api.search import open_index as open_index
    from qembed.api.search import search as search
    from qembed.api.verify import verify as verify
    from qembed.corpus import CorpusOptions as CorpusOptions
    from qembed.corpus import read_chunks as read_chunks
    from qembed.errors import QembedError as QembedError
    from qembed.index import Condition as Condition
    from qembed.models import Encoder as Encoder
    from qembed.models import EncoderOptions as EncoderOptions
    from qembed.models import load_catalog as load_catalog
    from qembed.records import Chunk as Chunk
    from qembed.records import Finding as Finding

_EXPORTS = {
    "Chunk": "qembed.records",
    "Condition": "qembed.index",
    "CorpusOptions": "qembed.corpus",
    "EmbedOptions": "qembed.api.embed",
    "Encoder": "qembed.models",
    "EncoderOptions": "qembed.models",
    "Finding": "qembed.records",
    "PlanOptions": "qembed.api.plan",
    "QembedError": "qembed.errors",
    "audit": "qembed.api.audit",
    "corpus_from_package": "qembed.api.package_corpus",
    "embed": "qembed.api.embed",
    "inspect": "qembed.api.inspect",
    "load_catalog": "qembed.models",
    "open_index": "qembed.api.search",
    "plan": "qembed.api.plan",
    "read_chunks": "qembed.corpus",
    "search": "qembed.api.search",
    "verify": "qembed.api.verify",
}

__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
