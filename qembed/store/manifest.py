"""What a run did and from what: enough to repeat it, to resume from it, and to check its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import orjson

from qembed.errors import Mismatch
from qembed.records import MANIFEST_SUFFIX, SUMMARY_SUFFIX
from qembed.store.atomic import atomic_file
from qembed.store.formats import Embeddings, Format, collection_of, written_files
from qembed.store.hashed import OutputFile

SCHEMA = "qembed.manifest/1"


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The files of one collection in one folder.

    Attributes:
        embeddings: The file without shards; of npy, the array.
        summary: What ``build_summary`` makes.
        manifest: A ``Manifest``; names every file of embeddings.
    """

    embeddings: Path
    summary: Path
    manifest: Path

    @classmethod
    def in_folder(cls, folder: Path, collection: str, format: Format = "jsonl") -> OutputFiles:
        """Their names for a collection."""
        return cls(
            folder / f"{collection}_embeddings.{format}",
            folder / f"{collection}{SUMMARY_SUFFIX}",
            folder / f"{collection}{MANIFEST_SUFFIX}",
        )

    @classmethod
    def of(cls, embeddings: Path) -> OutputFiles:
        """The files that belong to a file of embeddings, whether they exist or not."""
        beside = cls.in_folder(embeddings.parent, collection_of(embeddings))
        return cls(embeddings, beside.summary, beside.manifest)

    def existing(self) -> list[Path]:
        """Those that exist: embeddings in any format, with all shards, then summary and manifest."""
        written = written_files(self.embeddings.parent, collection_of(self.embeddings))
        return [*written, *(path for path in (self.summary, self.manifest) if path.exists())]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was read.

    Attributes:
        path: As it was given.
        fingerprint: SHA-256 over ids, texts and metadata in order (``corpus.survey``).
        chunks: How many chunks.
        unique_texts: Number of distinct texts.
    """

    path: str
    fingerprint: str
    chunks: int
    unique_texts: int


@dataclass(frozen=True, slots=True)
class Output:
    """What was written.

    Attributes:
        file: Name of the file of embeddings; of several, the first.
        bytes: Size of all of them.
        sha256: SHA-256 of the whole file; of several files, of their hashes (``sha256_of``).
        chunks_fingerprint: SHA-256 over ids and texts of the records in order (``ChunksFingerprint``).
        records: How many.
        dimension: Dimension of each vector.
        format: ``jsonl``, ``parquet`` or ``npy``.
        files: All files in order; empty in manifests that know of one file only.
    """

    file: str
    bytes: int
    sha256: str
    chunks_fingerprint: str
    records: int
    dimension: int
    format: Format = "jsonl"
    files: tuple[OutputFile, ...] = ()

    @classmethod
    def of(
        cls,
        files: Sequence[OutputFile],
        *,
        format: Format,
        chunks_fingerprint: str,
        records: int,
        dimension: int,
    ) -> Self:
        """What ``Writer.close`` returned, and what else is known."""
        return cls(
            file=files[0].name,
            bytes=sum(file.bytes for file in files),
            sha256=sha256_of(files),
            chunks_fingerprint=chunks_fingerprint,
            records=records,
            dimension=dimension,
            format=format,
            files=tuple(files),
        )

    @property
    def all_files(self) -> tuple[OutputFile, ...]:
        """``files``, or the one file that older manifests describe."""
        return self.files or (OutputFile(self.file, self.bytes, self.sha256, self.records),)


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
        """Hash of what was added so far."""
        return self._hash.hexdigest()


def similarity_of(manifest: Manifest | None, otherwise: str = "cosine") -> Literal["cosine", "dot"]:
    """By which the vectors of a manifest compare.

    Args:
        manifest: Manifest of the vectors, if there is one.
        otherwise: Where there is none, or one of an older version: the similarity of the model, if known.
    """
    said = manifest.model.get("similarity", "cosine") if manifest else otherwise
    return "dot" if said == "dot" else "cosine"


def manifest_of(embeddings: Embeddings) -> Manifest | None:
    """The manifest beside files of embeddings; None without one.

    Raises:
        Mismatch: It cannot be read, or describes other files: a set that was copied or replaced in part.
    """
    beside = OutputFiles.of(embeddings.path)
    manifest = read_manifest(beside.manifest)
    if manifest is None:
        return None
    here = {path.name: path.stat().st_size for path in embeddings.files}
    for file in manifest.output.all_files:
        if here.get(file.name) != file.bytes:
            found = f"{here[file.name]:,} bytes" if file.name in here else "absent"
            raise Mismatch(
                f"the embeddings are not those that the manifest describes: {file.name} is {found}, "
                f"recorded are {file.bytes:,}",
                where=str(beside.manifest),
                remedy="copy all files of the set again, or embed again; qembed audit says what differs",
            )
    return manifest


def sha256_of(files: Sequence[OutputFile]) -> str:
    """One hash for all files, hex: of one file its own, of several SHA-256 over what ``sha256sum`` prints."""
    if len(files) == 1:
        return files[0].sha256
    return sha256("".join(f"{file.sha256}  {file.name}\n" for file in files).encode()).hexdigest()


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
