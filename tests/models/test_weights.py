"""Weight files: complete or absent, safetensors or refused, hashed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from qembed.errors import UsageError
from qembed.models.weights import has_weights, require_weights, weight_bytes, weight_files, weights_sha256


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


TRANSFORMER_AND_DENSE = (
    '[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},'
    ' {"idx": 1, "path": "1_Dense", "type": "sentence_transformers.models.Dense"}]'
)


class TestComplete:
    @pytest.mark.parametrize(
        ("files", "complete"),
        [
            ([], False),
            (["config.json"], False),
            (["model.safetensors"], True),
            (["0_Transformer/model.safetensors"], True),
            (["model-00001-of-00002.safetensors"], False),
            (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], True),
            (["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"], False),
            (["a/model-00001-of-00002.safetensors", "b/model-00002-of-00002.safetensors"], False),
            (["model-00001-of-00001.safetensors", "1_Dense/model.safetensors"], True),
            (["pytorch_model.bin"], False),
        ],
    )
    def test_shards(self, tmp_path: Path, files: list[str], complete: bool) -> None:
        assert has_weights(touch(tmp_path, *files)) is complete

    def test_a_module_behind_the_transformer_is_not_the_model(self, tmp_path: Path) -> None:
        (tmp_path / "modules.json").write_text(TRANSFORMER_AND_DENSE)
        touch(tmp_path, "1_Dense/model.safetensors")
        assert not has_weights(tmp_path)
        touch(tmp_path, "model.safetensors")
        assert has_weights(tmp_path)

    def test_a_link_of_the_hub_cache_to_a_file_that_is_not_there_yet(self, tmp_path: Path) -> None:
        touch(tmp_path, "model-00001-of-00002.safetensors")
        (tmp_path / "model-00002-of-00002.safetensors").symlink_to(tmp_path / "blob")
        assert not has_weights(tmp_path)

    def test_broken_list_of_modules_is_somebody_elses_error(self, tmp_path: Path) -> None:
        touch(tmp_path, "model.safetensors", "modules.json")
        assert has_weights(tmp_path)


class TestPickles:
    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "m.ckpt", "m.pkl"])
    def test_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="pickle") as caught:
            require_weights(touch(tmp_path, name))
        assert caught.value.where == str(tmp_path / name)
        assert "save_pretrained" in str(caught.value.remedy)

    def test_of_a_module_behind_the_transformer(self, tmp_path: Path) -> None:
        touch(tmp_path, "model.safetensors", "2_Dense/pytorch_model.bin")
        with pytest.raises(UsageError, match="pickle") as caught:
            require_weights(tmp_path)
        assert "2_Dense" in str(caught.value.where)

    def test_beside_safetensors_nobody_reads_them(self, tmp_path: Path) -> None:
        require_weights(touch(tmp_path, "model.safetensors", "pytorch_model.bin", "training_args.bin"))

    def test_openvino_weights_are_no_pickle(self, tmp_path: Path) -> None:
        """A clone of all-MiniLM-L6-v2 has them."""
        files = ("openvino/openvino_model.bin", "openvino/openvino_model.xml", "onnx/model.onnx")
        require_weights(touch(tmp_path, "model.safetensors", *files))

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="missing or incomplete"):
            require_weights(touch(tmp_path, "config.json"))


class TestHash:
    def test_of_one_file(self, tmp_path: Path) -> None:
        touch(tmp_path, "model.safetensors")
        assert weights_sha256(tmp_path) == sha256(b"model.safetensors").hexdigest()

    def test_of_several_files(self, tmp_path: Path) -> None:
        names = ["1_Dense/model.safetensors", "model.safetensors"]
        touch(tmp_path, *names)
        lines = "".join(f"{name} {sha256(name.encode()).hexdigest()}\n" for name in names)
        assert weights_sha256(tmp_path) == sha256(lines.encode()).hexdigest()
        assert [path.relative_to(tmp_path).as_posix() for path in weight_files(tmp_path)] == names
        assert weight_bytes(tmp_path) == sum(map(len, names))

    def test_a_changed_bit_changes_it(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.safetensors", "b.safetensors")
        before = weights_sha256(tmp_path)
        (tmp_path / "b.safetensors").write_text("c.safetensors")
        assert weights_sha256(tmp_path) != before
