"""What a run did and from what: enough to repeat it, to resume from it, and to check its output."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson

from qembed.errors import Mismatch
from qembed.records import EMBEDDINGS_SUFFIX, MANIFEST_SUFFIX, SUMMARY_SUFFIX
from qembed.store.atomic import atomic_file

SCHEMA = "qembed.manifest/1"


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The three files of one collection in one folder."""

    embeddings: Path
    summary: Path
    manifest: Path

    @classmethod
    def in_folder(cls, folder: Path, collection: str) -> OutputFiles:
        """Their names for a collection."""
        return cls(
            folder / f"{collection}{EMBEDDINGS_SUFFIX}",
            folder / f"{collection}{SUMMARY_SUFFIX}",
            folder / f"{collection}{MANIFEST_SUFFIX}",
        )

    @classmethod
    def of(cls, embeddings: Path) -> OutputFiles:
        """The files that belong to a file of embeddings, whether they exist or not."""
        return cls.in_folder(embeddings.parent, embeddings.name.removesuffix(EMBEDDINGS_SUFFIX))

    def existing(self) -> list[Path]:
        """Those that exist."""
        return [path for path in (self.embeddings, self.summary, self.manifest) if path.exists()]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was read.

    Attributes:
        path: As it was given.
        fingerprint: SHA-256 over ids, texts and metadata in order (``corpus.survey``).
        chunks: How many chunks.
        unique_texts: How many different texts.
    """

    path: str
    fingerprint: str
    chunks: int
    unique_texts: int


@dataclass(frozen=True, slots=True)
class Output:
    """What was written.

    Attributes:
        file: Name of the JSONL file.
        bytes: Its size.
        sha256: Of the whole file.
        chunks_fingerprint: SHA-256 over ids and texts of the records in order (``ChunksFingerprint``).
        records: How many.
        dimension: Of each vector.
    """

    file: str
    bytes: int
    sha256: str
    chunks_fingerprint: str
    records: int
    dimension: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The recorded work of one ``qembed embed``.

    Attributes:
        collection: Its name.
        created: UTC time, ISO 8601.
        inputs: What was read.
        output: What was written.
        settings: What the user asked for; a second run with other ones does not overwrite.
        model: What was loaded (``models.EncoderInfo``).
        environment: Versions, devices, git commit, command line.
        schema: Version of this file's form.
    """

    collection: str
    created: str
    inputs: Inputs
    output: Output
    settings: dict[str, Any]
    model: dict[str, Any]
    environment: dict[str, Any]
    schema: str = field(default=SCHEMA)


class ChunksFingerprint:
    """SHA-256 over ids and texts in order; the same from the run that writes and from the file itself."""

    def __init__(self) -> None:
        self._hash = sha256()

    def add(self, chunk_id: str | int, text: str | None) -> None:
        """Take one record."""
        digest = sha256((text or "").encode()).hexdigest()
        self._hash.update(f"{chunk_id}\t{digest}\n".encode())

    def hexdigest(self) -> str:
        """Of what was added so far."""
        return self._hash.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a dataclass or dict as indented JSON, whole or not at all."""
    with atomic_file(path) as file:
        document = value if isinstance(value, dict) else asdict(value)
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_manifest(path: Path) -> Manifest | None:
    """The manifest at ``path``; None where there is none.

    Raises:
        Mismatch: It is there but is no manifest that this version reads.
    """
    if not path.is_file():
        return None
    try:
        document = orjson.loads(path.read_bytes())
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, str) and schema != SCHEMA:
            raise Mismatch(
                f"the manifest is {schema!r}, this version reads {SCHEMA!r}",
                where=str(path),
                remedy="use the version of qembed that wrote it",
            )
        return msgspec.convert(document, Manifest)
    except (orjson.JSONDecodeError, msgspec.ValidationError) as error:
        raise Mismatch(
            f"this is not a manifest of qembed: {error}",
            where=str(path),
            remedy="move it away; the embeddings can be read without it",
        ) from None
