"""Vectors on disk: JSON lines, Parquet, npy; manifest, summary; written whole or not at all."""

from __future__ import annotations

from qembed.store.atomic import atomic_file, explained, locked
from qembed.store.environment import environment
from qembed.store.formats import (
    FORMATS,
    Embeddings,
    Format,
    ReadFormat,
    find_embeddings,
    placed_records,
    read_records,
    written_files,
)
from qembed.store.hashed import OutputFile
from qembed.store.journal import Journal, check_journal, read_journal, write_journal
from qembed.store.jsonl import BadLine, Record, record_line
from qembed.store.keys import USUAL, Keys
from qembed.store.manifest import (
    ChunksFingerprint,
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    manifest_of,
    read_manifest,
    write_json,
)
from qembed.store.spool import Spool
from qembed.store.summary import EncodingWork, build_summary, describe_finding, subdirectory_stats
from qembed.store.work import check_published, discard, forget, publish, staging, work_folder
from qembed.store.writing import Writer, open_writer

__all__ = [
    "FORMATS",
    "USUAL",
    "BadLine",
    "ChunksFingerprint",
    "Embeddings",
    "EncodingWork",
    "Format",
    "Inputs",
    "Journal",
    "Keys",
    "Manifest",
    "Output",
    "OutputFile",
    "OutputFiles",
    "ReadFormat",
    "Record",
    "Spool",
    "Writer",
    "atomic_file",
    "build_summary",
    "check_journal",
    "check_published",
    "describe_finding",
    "discard",
    "environment",
    "explained",
    "find_embeddings",
    "forget",
    "locked",
    "manifest_of",
    "open_writer",
    "placed_records",
    "publish",
    "read_journal",
    "read_manifest",
    "read_records",
    "record_line",
    "staging",
    "subdirectory_stats",
    "work_folder",
    "write_journal",
    "write_json",
    "written_files",
]
