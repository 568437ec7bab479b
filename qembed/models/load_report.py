"""Which weights a checkpoint lacks, and which it has in vain: read from transformers while a model loads.

transformers gives random values to weights that are missing, new ones in every process, and says so in a log
line only. Here they are an error, unless nothing that the model computes depends on them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any, Final

from qembed.errors import QembedError

_SPARE: Final = re.compile(r"(^|\.)pooler\.")
"""Weights that a model for single tokens has, and does not use."""

_HARMLESS: Final = re.compile(
    r"(^|\.)(position_ids|inv_freq|pooler|lm_head|cls|classifier|score|qa_outputs|decoder|discriminator_\w+"
    r"|generator_\w+|vocab_\w+|mlm_\w+|nsp_\w+|head|predictions)(\.|$)"
)
"""Weights of other heads and of training, which checkpoints often carry along."""

_SHOWN: Final = 3
_LOADING: Final = RLock()


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What transformers found while it loaded one network.

    Attributes:
        network: The transformers model.
        missing: Weights that the checkpoint lacks; sorted.
        unexpected: Weights of the checkpoint that the model has no place for; sorted.
    """

    network: Any
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@contextmanager
def load_reports() -> Iterator[list[LoadReport]]:
    """Collect the reports of all networks that transformers loads meanwhile.

    ``from_pretrained`` returns its report only when asked to, and sentence-transformers does not ask.
    """
    from transformers import PreTrainedModel

    reports: list[LoadReport] = []
    original = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = kwargs.pop("output_loading_info", False)
        network, found = original.__func__(cls, *args, output_loading_info=True, **kwargs)
        missing, unexpected = (tuple(sorted(found[key])) for key in ("missing_keys", "unexpected_keys"))
        reports.append(LoadReport(network, missing, unexpected))
        return (network, found) if wanted else network

    log = logging.getLogger("transformers.modeling_utils")
    with _LOADING:
        PreTrainedModel.from_pretrained = classmethod(from_pretrained)
        log.addFilter(_is_no_report)
        try:
            yield reports
        finally:
            log.removeFilter(_is_no_report)
            PreTrainedModel.from_pretrained = original


def _is_no_report(record: logging.LogRecord) -> bool:
    """Leaves out the table of missing and unexpected weights: it is judged here, and said in one sentence."""
    return "LOAD REPORT" not in record.getMessage()


def check_weights(reports: Sequence[LoadReport], probe: Any, *, model_id: str, where: str) -> tuple[str, ...]:
    """Judge what was missing and unexpected.

    Args:
        reports: From ``load_reports``.
        probe: Runs the model over a text; returns a tensor of all that it computes.
        model_id: For the message.
        where: For the message.

    Returns:
        What a user should know: weights in the files that the model does not use.

    Raises:
        QembedError: Weights are missing that the result depends on.
    """
    missing = [key for report in reports for key in report.missing]
    needed = [key for key in missing if not _SPARE.search(key)]
    unexpected = [key for report in reports for key in report.unexpected if not _HARMLESS.search(key)]
    if not needed and missing:
        for report in reports:
            _fill_with_nan(report)
        if not bool(probe().isfinite().all()):
            needed = missing
    if needed:
        found = f"; the files hold {_some(unexpected)} instead" if unexpected else ""
        raise QembedError(
            f"the files of {model_id!r} lack {_count(needed)} that the model needs: {_some(needed)}{found}. "
            "Random numbers would take their place",
            where=where,
            remedy="fetch the model again, or save it with the version of transformers it was trained with",
        )
    if unexpected:
        return (f"the files hold {_count(unexpected)} that the model does not use: {_some(unexpected)}",)
    return ()


def _fill_with_nan(report: LoadReport) -> None:
    """Fill what is missing with NaN: whatever depends on it is then not finite, now and later."""
    import torch

    parameters = dict(report.network.named_parameters())
    with torch.no_grad():
        for key in report.missing:
            parameter = parameters.get(key)
            if parameter is not None and parameter.is_floating_point() and parameter.device.type != "meta":
                parameter.fill_(torch.nan)


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _count(keys: Sequence[str]) -> str:
    return f"{len(keys):,} weight{'s' if len(keys) != 1 else ''}"
