"""Texts to vectors: batches under a token budget, workers on every device, rows that survive a crash."""

from __future__ import annotations

from qembed.engine.batching import Batch, clip, make_batches, padded_tokens, padding_waste
from qembed.engine.rows import Rows
from qembed.engine.run import Encoded, deadline, encode_rows
from qembed.engine.windows import WINDOW_TEXTS, RunPlan
from qembed.engine.workers.devices import default_token_budget, peak_memory_bytes
from qembed.engine.workers.messages import OomSplit, Ready, Task, TaskDone, TextFailure
from qembed.engine.workers.pool import InlinePool, Pool, ProcessPool
from qembed.engine.workers.worker import Worker, WorkerSpec

__all__ = [
    "WINDOW_TEXTS",
    "Batch",
    "Encoded",
    "InlinePool",
    "OomSplit",
    "Pool",
    "ProcessPool",
    "Ready",
    "Rows",
    "RunPlan",
    "Task",
    "TaskDone",
    "TextFailure",
    "Worker",
    "WorkerSpec",
    "clip",
    "deadline",
    "default_token_budget",
    "encode_rows",
    "make_batches",
    "padded_tokens",
    "padding_waste",
    "peak_memory_bytes",
]
