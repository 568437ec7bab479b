"""A model's own code: named before it runs, run only when allowed and pinned, and a file proves it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qembed.errors import UsageError
from qembed.models import Encoder, EncoderOptions, ModelSource, load_tokenizer, resolve_model
from qembed.models.trust import check_trust, code_that_would_run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"

MODELING = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from transformers import BertConfig, BertModel
class OddConfig(BertConfig):
    model_type = "odd-bert"
class OddModel(BertModel):
    config_class = OddConfig
"""

MODULE = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from sentence_transformers.sentence_transformer.modules import Normalize
class OddModule(Normalize):
    pass
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that the model's code writes when it runs."""
    return tmp_path / "the-code-ran"


@pytest.fixture
def odd_architecture(tiny: Path, tmp_path: Path, marker: Path) -> Path:
    """A model of a type that transformers does not know, with its own modelling file."""
    folder = shutil.copytree(tiny, tmp_path / "odd_model")
    code = {"AutoConfig": "modeling_odd.OddConfig", "AutoModel": "modeling_odd.OddModel"}
    edit(folder / "config.json", model_type="odd-bert", auto_map=code)
    (folder / "modeling_odd.py").write_text(MODELING.format(marker=str(marker)))
    return folder


@pytest.fixture
def odd_module(tiny: Path, tmp_path: Path, marker: Path) -> Path:
    """A model whose modules.json names a module of its own."""
    folder = shutil.copytree(tiny, tmp_path / "odd_module")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_OddModule", "type": "odd_module.OddModule"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_OddModule").mkdir()
    (folder / "2_OddModule" / "config.json").write_text("{}")
    (folder / "odd_module.py").write_text(MODULE.format(marker=str(marker)))
    return folder


@pytest.fixture(autouse=True)
def modules_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies a model's code below HF_MODULES_CACHE and imports it from there."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "hf-modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def on_hub(folder: Path, **changes: Any) -> ModelSource:
    source = ModelSource("owner/odd", "owner/odd", "hub", folder, None, None)
    return dataclasses.replace(source, **changes)


class TestUnknownArchitecture:
    def test_without_the_flag_it_is_named_and_does_not_run(
        self, odd_architecture: Path, marker: Path
    ) -> None:
        with pytest.raises(UsageError, match="runs Python code") as caught:
            Encoder.load(str(odd_architecture), EncoderOptions(device="cpu"))
        assert "modeling_odd.OddConfig" in str(caught.value)
        assert "modeling_odd.OddModel" in str(caught.value)
        assert "--trust-remote-code" in str(caught.value)
        assert caught.value.exit_code == 2
        assert not marker.exists()

    def test_with_the_flag_a_local_folder_runs_it(self, odd_architecture: Path, marker: Path) -> None:
        encoder = Encoder.load(str(odd_architecture), EncoderOptions(device="cpu", trust_remote_code=True))
        assert marker.read_text() == "ran"
        assert encoder.encode(["vector search"]).shape == (1, 32)

    def test_counting_tokens_never_runs_it(
        self, odd_architecture: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Without tokenizer.json transformers has to make the tokenizer, and would ask on stdin.
        (odd_architecture / "tokenizer.json").unlink()
        monkeypatch.setattr("builtins.input", lambda *_: "y")
        (odd_architecture / "vocab.txt").write_text("[UNK]\nvector\n")
        with pytest.raises(UsageError, match="tokenizer cannot be read"):
            load_tokenizer(str(odd_architecture))
        assert not marker.exists()

    def test_counting_tokens_of_a_complete_model_works_without_it(
        self, odd_architecture: Path, tiny: Path, marker: Path
    ) -> None:
        texts = ["vector search", "x"]
        assert load_tokenizer(str(odd_architecture)).count(texts).tolist() == [4, 3]
        assert load_tokenizer(str(tiny)).count(texts).tolist() == [4, 3]
        assert not marker.exists()


class TestOwnModule:
    def test_without_the_flag_it_is_named_and_does_not_run(self, odd_module: Path, marker: Path) -> None:
        with pytest.raises(UsageError, match=r"odd_module\.OddModule"):
            Encoder.load(str(odd_module), EncoderOptions(device="cpu"))
        assert not marker.exists()

    def test_with_the_flag_it_runs(self, odd_module: Path, marker: Path) -> None:
        Encoder.load(str(odd_module), EncoderOptions(device="cpu", trust_remote_code=True))
        assert marker.read_text() == "ran"

    def test_broken_list_of_modules(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        for content in ("{", "[1]", '[{"idx": 0}]'):
            (folder / "modules.json").write_text(content)
            with pytest.raises(UsageError, match="not a list of modules"):
                code_that_would_run(folder)


class TestKnownArchitecture:
    def test_code_beside_a_type_that_transformers_knows_is_not_replaced_by_its_class(
        self, odd_architecture: Path, marker: Path
    ) -> None:
        """As jina-embeddings-v2, which calls itself ``bert`` and computes something else."""
        edit(odd_architecture / "config.json", model_type="bert")
        with pytest.raises(UsageError, match=r"runs Python code .*modeling_odd\.OddModel"):
            Encoder.load(str(odd_architecture), EncoderOptions(device="cpu"))
        assert not marker.exists()
        Encoder.load(str(odd_architecture), EncoderOptions(device="cpu", trust_remote_code=True))
        assert marker.read_text() == "ran"

    def test_all_that_would_run_is_named_once_any_code_is_needed(
        self, odd_module: Path, marker: Path
    ) -> None:
        # With trust_remote_code=True transformers runs this too, although it knows the type.
        edit(odd_module / "config.json", auto_map={"AutoModel": "modeling_odd.OddModel"})
        edit(odd_module / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "tok.OddFast"]})
        named = code_that_would_run(odd_module)
        assert named == ["modeling_odd.OddModel", "odd_module.OddModule", "tok.OddFast"]

    def test_bundled_model_needs_none(self, minilm: Path) -> None:
        assert code_that_would_run(minilm) == []


class TestPins:
    def test_hub_without_a_revision(self, odd_architecture: Path) -> None:
        with pytest.raises(UsageError, match="runs Python code") as caught:
            check_trust(on_hub(odd_architecture), trust_remote_code=True)
        assert "--revision COMMIT" in str(caught.value)

    @pytest.mark.parametrize(
        "revision", ["main", "v1.0", COMMIT[:12], COMMIT + "0", COMMIT.upper(), COMMIT + "\n"]
    )
    def test_a_name_or_a_piece_of_a_commit_pins_nothing(self, odd_architecture: Path, revision: str) -> None:
        with pytest.raises(UsageError, match="runs Python code"):
            check_trust(on_hub(odd_architecture), trust_remote_code=True, revision=revision)

    def test_what_the_hub_calls_the_newest_is_no_pin(self, odd_architecture: Path, marker: Path) -> None:
        source = on_hub(odd_architecture, revision=COMMIT)  # as fetch returns it for an unpinned model
        with pytest.raises(UsageError, match="runs Python code"):
            Encoder.load(source, EncoderOptions(device="cpu", trust_remote_code=True))
        assert not marker.exists()

    def test_a_commit_pins(self, odd_architecture: Path) -> None:
        assert check_trust(on_hub(odd_architecture), trust_remote_code=True, revision=COMMIT)

    def test_the_catalogs_commit_pins(self, odd_architecture: Path) -> None:
        card = resolve_model("nomic-ai/nomic-embed-text-v1.5").card
        assert card is not None
        pinned = dataclasses.replace(card, revision=COMMIT)
        assert check_trust(on_hub(odd_architecture, card=pinned), trust_remote_code=True)
        with pytest.raises(UsageError):
            check_trust(on_hub(odd_architecture, card=pinned), trust_remote_code=True, revision="main")

    def test_code_of_another_repository_needs_its_own_pin(self, odd_architecture: Path) -> None:
        edit(odd_architecture / "config.json", auto_map={"AutoModel": "someone/code--modeling.Odd"})
        source = on_hub(odd_architecture)
        for code_revision in (None, "main"):
            with pytest.raises(UsageError, match="someone/code is another repository") as caught:
                check_trust(source, trust_remote_code=True, revision=COMMIT, code_revision=code_revision)
            assert "--code-revision COMMIT" in str(caught.value)
        assert check_trust(source, trust_remote_code=True, revision=COMMIT, code_revision=OTHER)

    def test_a_local_folder_with_code_elsewhere_needs_that_pin(self, odd_architecture: Path) -> None:
        edit(odd_architecture / "config.json", auto_map={"AutoModel": "someone/code--modeling.Odd"})
        local = resolve_model(str(odd_architecture))
        with pytest.raises(UsageError, match="another repository"):
            check_trust(local, trust_remote_code=True)

    def test_the_other_repository_is_fetched_at_its_pin(
        self, odd_architecture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edit(odd_architecture / "config.json", auto_map={"AutoModel": "someone/code--modeling.Odd"})
        asked: list[tuple[str, dict[str, Any]]] = []

        def snapshot(repository: str, **options: Any) -> str:
            asked.append((repository, options))
            raise RuntimeError("enough seen")

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        options = EncoderOptions(device="cpu", trust_remote_code=True, code_revision=OTHER)
        with pytest.raises(Exception, match="someone/code"):
            Encoder.load(str(odd_architecture), options)
        assert [repository for repository, _ in asked] == ["someone/code"]
        assert asked[0][1]["revision"] == OTHER
        assert asked[0][1]["allow_patterns"] == ["*.py"]


@pytest.mark.slow
def test_code_of_another_repository_runs_from_the_cache(
    odd_architecture: Path, marker: Path, tmp_path: Path
) -> None:
    """The whole way, in a process with a hub cache of its own: offline, pinned, in another repository."""
    repository = tmp_path / "hub" / "models--someone--code"
    (repository / "snapshots" / OTHER).mkdir(parents=True)
    shutil.move(odd_architecture / "modeling_odd.py", repository / "snapshots" / OTHER / "modeling_odd.py")
    prefix = "someone/code--modeling_odd."
    edit(
        odd_architecture / "config.json",
        auto_map={"AutoConfig": f"{prefix}OddConfig", "AutoModel": f"{prefix}OddModel"},
    )
    script = (
        "from qembed.models import Encoder, EncoderOptions\n"
        f"options = EncoderOptions(device='cpu', trust_remote_code=True, code_revision={OTHER!r})\n"
        f"print(Encoder.load({str(odd_architecture)!r}, options).encode(['x']).shape)\n"
    )
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_MODULES_CACHE": str(tmp_path / "m"),
    }
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "(1, 32)"
    assert marker.exists()
