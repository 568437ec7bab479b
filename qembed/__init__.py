"""qembed: evaluation-first embedding and retrieval.

The names below are the public Python API. They are imported on first use, so ``import qembed`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qembed.api.audit import audit as audit
    from qembed.api.bench import BenchOptions as BenchOptions
    from qembed.api.bench import bench as bench
    from qembed.api.bench_agreement import agreement as agreement
    from qembed.api.bench_store import store_bench as store_bench
    from qembed.api.embed import EmbedOptions as EmbedOptions
    from qembed.api.embed import embed as embed
    from qembed.api.evalset import check_eval_set as check_eval_set
    from qembed.api.evalset import convert_eval_set as convert_eval_set
    from qembed.api.evalset import draft_eval_set as draft_eval_set
    from qembed.api.inspect import inspect as inspect
    from qembed.api.judgements import merge_judgements as merge_judgements
    from qembed.api.markdown_corpus import corpus_from_markdown as corpus_from_markdown
    from qembed.api.package_corpus import corpus_from_package as corpus_from_package
    from qembed.api.plan import PlanOptions as PlanOptions
    from qembed.api.plan import plan as plan
    from qembed.api.report import ReportOptions as ReportOptions
    from qembed.api.report import compare_reports as compare_reports
    from qembed.api.report import index_reports as index_reports
    from qembed.api.report import make_report as make_report
    from qembed.api.search import open_index as open_index
    from qembed.api.search import search as search
    from qembed.api.sweep import SweepOptions as SweepOptions
    from qembed.api.sweep import sweep as sweep
    from qembed.api.verify import verify as verify
    from qembed.api.verify_ranking import RankingOptions as RankingOptions
    from qembed.corpus import CorpusOptions as CorpusOptions
    from qembed.corpus import read_chunks as read_chunks
    from qembed.errors import QembedError as QembedError
    from qembed.evaluation.eval_set import EvalSet as EvalSet
    from qembed.evaluation.eval_set import load_eval_set as load_eval_set
    from qembed.evaluation.measures import evaluate as evaluate
    from qembed.evaluation.measures import parse_measure as parse_measure
    from qembed.evaluation.rerank import open_reranker as open_reranker
    from qembed.evaluation.statistics import compare as compare
    from qembed.index import Condition as Condition
    from qembed.models import Encoder as Encoder
    from qembed.models import EncoderOptions as EncoderOptions
    from qembed.models import load_catalog as load_catalog
    from qembed.records import Chunk as Chunk
    from qembed.records import Finding as Finding

_EXPORTS = {
    "BenchOptions": "qembed.api.bench",
    "Chunk": "qembed.records",
    "Condition": "qembed.index",
    "CorpusOptions": "qembed.corpus",
    "EmbedOptions": "qembed.api.embed",
    "Encoder": "qembed.models",
    "EncoderOptions": "qembed.models",
    "EvalSet": "qembed.evaluation.eval_set",
    "Finding": "qembed.records",
    "PlanOptions": "qembed.api.plan",
    "QembedError": "qembed.errors",
    "RankingOptions": "qembed.api.verify_ranking",
    "ReportOptions": "qembed.api.report",
    "SweepOptions": "qembed.api.sweep",
    "agreement": "qembed.api.bench_agreement",
    "audit": "qembed.api.audit",
    "bench": "qembed.api.bench",
    "check_eval_set": "qembed.api.evalset",
    "compare": "qembed.evaluation.statistics",
    "compare_reports": "qembed.api.report",
    "convert_eval_set": "qembed.api.evalset",
    "corpus_from_markdown": "qembed.api.markdown_corpus",
    "corpus_from_package": "qembed.api.package_corpus",
    "draft_eval_set": "qembed.api.evalset",
    "embed": "qembed.api.embed",
    "evaluate": "qembed.evaluation.measures",
    "index_reports": "qembed.api.report",
    "inspect": "qembed.api.inspect",
    "load_catalog": "qembed.models",
    "load_eval_set": "qembed.evaluation.eval_set",
    "make_report": "qembed.api.report",
    "merge_judgements": "qembed.api.judgements",
    "open_index": "qembed.api.search",
    "open_reranker": "qembed.evaluation.rerank",
    "parse_measure": "qembed.evaluation.measures",
    "plan": "qembed.api.plan",
    "read_chunks": "qembed.corpus",
    "search": "qembed.api.search",
    "store_bench": "qembed.api.bench_store",
    "sweep": "qembed.api.sweep",
    "verify": "qembed.api.verify",
}

__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
