"""qembed: evaluation-first embedding and retrieval.

The names below are the public Python API. They are imported on first use, so ``import qembed`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qembed.commands.bench.bench import bench as bench
    from qembed.commands.bench.options import BenchOptions as BenchOptions
    from qembed.commands.bench.store import store_bench as store_bench
    from qembed.commands.compare.compare import CompareOptions as CompareOptions
    from qembed.commands.compare.compare import compare_runs as compare_runs
    from qembed.commands.compare.store import store_comparison as store_comparison
    from qembed.commands.corpus.from_markdown import corpus_from_markdown as corpus_from_markdown
    from qembed.commands.corpus.from_package import corpus_from_package as corpus_from_package
    from qembed.commands.embed.embed import EmbedOptions as EmbedOptions
    from qembed.commands.embed.embed import embed as embed
    from qembed.commands.evalset.evalset import check_eval_set as check_eval_set
    from qembed.commands.evalset.evalset import convert_eval_set as convert_eval_set
    from qembed.commands.evalset.evalset import draft_eval_set as draft_eval_set
    from qembed.commands.evalset.judgements import merge_judgements as merge_judgements
    from qembed.commands.inspect.inspect import inspect as inspect
    from qembed.commands.plan.plan import PlanOptions as PlanOptions
    from qembed.commands.plan.plan import plan as plan
    from qembed.commands.report.report import ReportOptions as ReportOptions
    from qembed.commands.report.report import compare_reports as compare_reports
    from qembed.commands.report.report import index_reports as index_reports
    from qembed.commands.report.report import make_report as make_report
    from qembed.commands.search.search import open_index as open_index
    from qembed.commands.search.search import search as search
    from qembed.commands.sweep.sweep import SweepOptions as SweepOptions
    from qembed.commands.sweep.sweep import sweep as sweep
    from qembed.commands.upload.after import drop_old_collection as drop_old_collection
    from qembed.commands.upload.after import roll_back_alias as roll_back_alias
    from qembed.commands.upload.options import UploadOptions as UploadOptions
    from qembed.commands.upload.upload import plan_upload as plan_upload
    from qembed.commands.upload.upload import upload as upload
    from qembed.commands.verify.ranking import RankingOptions as RankingOptions
    from qembed.commands.verify.verify import verify as verify
    from qembed.corpus import CorpusOptions as CorpusOptions
    from qembed.corpus import read_chunks as read_chunks
    from qembed.errors import QembedError as QembedError
    from qembed.evaluation.eval_sets.eval_set import EvalSet as EvalSet
    from qembed.evaluation.eval_sets.eval_set import load_eval_set as load_eval_set
    from qembed.evaluation.eval_sets.eval_set import unjudged_set as unjudged_set
    from qembed.evaluation.measures import evaluate as evaluate
    from qembed.evaluation.measures import parse_measure as parse_measure
    from qembed.evaluation.rerank.open import open_reranker as open_reranker
    from qembed.evaluation.statistics.compare import compare as compare
    from qembed.index import Condition as Condition
    from qembed.models import Encoder as Encoder
    from qembed.models import EncoderOptions as EncoderOptions
    from qembed.models import load_catalog as load_catalog
    from qembed.records import Chunk as Chunk
    from qembed.records import Finding as Finding
    from qembed.store.audit.report import audit as audit

_EXPORTS = {
    "BenchOptions": "qembed.commands.bench.options",
    "Chunk": "qembed.records",
    "CompareOptions": "qembed.commands.compare.compare",
    "Condition": "qembed.index",
    "CorpusOptions": "qembed.corpus",
    "EmbedOptions": "qembed.commands.embed.embed",
    "Encoder": "qembed.models",
    "EncoderOptions": "qembed.models",
    "EvalSet": "qembed.evaluation.eval_sets.eval_set",
    "Finding": "qembed.records",
    "PlanOptions": "qembed.commands.plan.plan",
    "QembedError": "qembed.errors",
    "RankingOptions": "qembed.commands.verify.ranking",
    "ReportOptions": "qembed.commands.report.report",
    "SweepOptions": "qembed.commands.sweep.sweep",
    "UploadOptions": "qembed.commands.upload.options",
    "audit": "qembed.store.audit.report",
    "bench": "qembed.commands.bench.bench",
    "check_eval_set": "qembed.commands.evalset.evalset",
    "compare": "qembed.evaluation.statistics.compare",
    "compare_reports": "qembed.commands.report.report",
    "compare_runs": "qembed.commands.compare.compare",
    "convert_eval_set": "qembed.commands.evalset.evalset",
    "corpus_from_markdown": "qembed.commands.corpus.from_markdown",
    "corpus_from_package": "qembed.commands.corpus.from_package",
    "draft_eval_set": "qembed.commands.evalset.evalset",
    "drop_old_collection": "qembed.commands.upload.after",
    "embed": "qembed.commands.embed.embed",
    "evaluate": "qembed.evaluation.measures",
    "index_reports": "qembed.commands.report.report",
    "inspect": "qembed.commands.inspect.inspect",
    "load_catalog": "qembed.models",
    "load_eval_set": "qembed.evaluation.eval_sets.eval_set",
    "make_report": "qembed.commands.report.report",
    "merge_judgements": "qembed.commands.evalset.judgements",
    "open_index": "qembed.commands.search.search",
    "open_reranker": "qembed.evaluation.rerank.open",
    "parse_measure": "qembed.evaluation.measures",
    "plan": "qembed.commands.plan.plan",
    "plan_upload": "qembed.commands.upload.upload",
    "read_chunks": "qembed.corpus",
    "roll_back_alias": "qembed.commands.upload.after",
    "search": "qembed.commands.search.search",
    "store_bench": "qembed.commands.bench.store",
    "store_comparison": "qembed.commands.compare.store",
    "sweep": "qembed.commands.sweep.sweep",
    "unjudged_set": "qembed.evaluation.eval_sets.eval_set",
    "upload": "qembed.commands.upload.upload",
    "verify": "qembed.commands.verify.verify",
}

__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
