"""Vectors on disk: JSON lines, manifest, summary; written whole or not at all."""

from __future__ import annotations

from qembed.store.atomic import atomic_file, explained, publish, staging, work_folder
from qembed.store.environment import environment
from qembed.store.jsonl import BadLine, Record, find_embeddings, read_records, record_line
from qembed.store.manifest import (
    ChunksFingerprint,
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    read_manifest,
    write_json,
)
from qembed.store.spool import Spool, open_vectors
from qembed.store.summary import build_summary, describe_finding, subdirectory_stats

__all__ = [
    "BadLine",
    "ChunksFingerprint",
    "Inputs",
    "Manifest",
    "Output",
    "OutputFiles",
    "Record",
    "Spool",
    "atomic_file",
    "build_summary",
    "describe_finding",
    "environment",
    "explained",
    "find_embeddings",
    "open_vectors",
    "publish",
    "read_manifest",
    "read_records",
    "record_line",
    "staging",
    "subdirectory_stats",
    "work_folder",
    "write_json",
]
