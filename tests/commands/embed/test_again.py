"""A second run: the same does nothing, anything else refuses and says what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.corpus import CorpusOptions
from qembed.errors import Mismatch, OutputExists
from qembed.models import Encoder, EncoderOptions

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small model that a test may change."""
    return shutil.copytree(tiny, tmp_path / "model")


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    return write_chunks(tmp_path / "docs", {"a/x": ["vector search", "point"], "b/y": ["index", "point"]})


@pytest.fixture
def options(model: Path) -> EmbedOptions:
    return EmbedOptions(model=str(model), encoder=EncoderOptions(device="cpu", precision="fp32"))


@pytest.fixture
def out(chunks: Path, options: EmbedOptions, tmp_path: Path) -> Path:
    embed(chunks, tmp_path / "out", options)
    return tmp_path / "out"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Models that were loaded since the first run."""
    seen: list[Any] = []
    original = Encoder.load.__func__  # type: ignore[attr-defined]

    def load(cls: type[Encoder], model: Any, options: EncoderOptions = EncoderOptions()) -> Encoder:
        seen.append(model)
        return original(cls, model, options)

    monkeypatch.setattr(Encoder, "load", classmethod(load))
    return seen


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


class TestSame:
    def test_it_does_nothing(self, chunks: Path, out: Path, options: EmbedOptions, loaded: list[Any]) -> None:
        before = state(out)
        result = embed(chunks, out, options)
        assert result.status == "unchanged"
        assert result.summary == json.loads(result.files.summary.read_text())
        assert state(out) == before
        assert loaded == []

    def test_how_it_is_computed_does_not_matter(
        self, chunks: Path, out: Path, options: EmbedOptions, loaded: list[Any]
    ) -> None:
        other = replace(
            options, token_budget=7, max_batch=1, encoder=EncoderOptions(device="auto", precision="fp32")
        )
        assert embed(chunks, out, other).status == "unchanged"
        assert loaded == []

    def test_force_writes_it_again(
        self, chunks: Path, out: Path, options: EmbedOptions, loaded: list[Any]
    ) -> None:
        before = state(out)
        assert embed(chunks, out, replace(options, force=True)).status == "written"
        assert len(loaded) == 1
        after = state(out)
        assert after.keys() == before.keys()
        assert after["docs_embeddings.jsonl"][1] == before["docs_embeddings.jsonl"][1]
        assert all(after[name][0] > before[name][0] for name in after)

    def test_another_collection_beside_it(self, chunks: Path, out: Path, options: EmbedOptions) -> None:
        other = replace(options, corpus=CorpusOptions(collection="other"))
        assert embed(chunks, out, other).status == "written"
        assert embed(chunks, out, options).status == "unchanged"
        assert len(list(out.iterdir())) == 6


class TestOtherSettings:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"max_length": 10}, "max_length None, now 10"),
            ({"truncate_dim": 8}, "truncate_dim None, now 8"),
            ({"normalize": False}, "normalize None, now False"),
            ({"document_prompt": "p: "}, "document_prompt None, now 'p: '"),
            ({"query_prompt": "q: "}, "query_prompt None, now 'q: '"),
            ({"precision": "bf16"}, "precision 'fp32', now 'bf16'"),
        ],
    )
    def test_of_the_encoder(
        self,
        chunks: Path,
        out: Path,
        options: EmbedOptions,
        loaded: list[Any],
        changes: dict[str, Any],
        words: str,
    ) -> None:
        before = state(out)
        other = replace(options, encoder=replace(options.encoder, **changes))
        with pytest.raises(OutputExists, match="made with other inputs or settings") as caught:
            embed(chunks, out, other)
        assert words in caught.value.message
        assert caught.value.exit_code == 2
        assert "--force" in str(caught.value.remedy)
        assert state(out) == before
        assert loaded == []
        assert embed(chunks, out, replace(other, force=True)).status == "written"
        assert embed(chunks, out, other).status == "unchanged"

    def test_of_the_corpus(self, chunks: Path, out: Path, options: EmbedOptions) -> None:
        with pytest.raises(OutputExists, match="limit None, now 1"):
            embed(chunks, out, replace(options, corpus=CorpusOptions(limit=1)))
        with pytest.raises(OutputExists, match="id_from 'filename', now 'path'"):
            embed(chunks, out, replace(options, corpus=CorpusOptions(id_from="path")))

    def test_another_model(
        self, chunks: Path, out: Path, options: EmbedOptions, tiny_models: Callable[[str], Path]
    ) -> None:
        other = str(tiny_models("wide"))
        with pytest.raises(OutputExists, match="model ") as caught:
            embed(chunks, out, replace(options, model=other))
        assert other in caught.value.message
        assert options.model in caught.value.message


class TestChanged:
    def test_chunks(
        self, chunks: Path, out: Path, options: EmbedOptions, write_chunks: WriteChunks, loaded: list[Any]
    ) -> None:
        write_chunks(chunks, {"a/x": ["vector search!", "point"]})
        with pytest.raises(OutputExists, match=r"the chunks have changed \(then 4\)"):
            embed(chunks, out, options)
        assert loaded == []

    def test_metadata_only(self, chunks: Path, out: Path, options: EmbedOptions) -> None:
        file = chunks / "a" / "x_chunks.json"
        items = json.loads(file.read_text())
        items[0]["metadata"]["extra"] = 1
        file.write_text(json.dumps(items))
        with pytest.raises(OutputExists, match="the chunks have changed"):
            embed(chunks, out, options)

    def test_tokenizer(self, chunks: Path, out: Path, options: EmbedOptions, model: Path) -> None:
        tokenizer = json.loads((model / "tokenizer.json").read_text())
        tokenizer["added_tokens"][0]["lstrip"] = not tokenizer["added_tokens"][0]["lstrip"]
        (model / "tokenizer.json").write_text(json.dumps(tokenizer))
        with pytest.raises(OutputExists, match="tokenizer, prompts or configuration have changed"):
            embed(chunks, out, options)

    def test_weights(
        self, chunks: Path, out: Path, options: EmbedOptions, model: Path, tiny_models: Callable[[str], Path]
    ) -> None:
        shutil.copy(tiny_models("other") / "model.safetensors", model / "model.safetensors")
        with pytest.raises(OutputExists, match="the model: other weights"):
            embed(chunks, out, options)

    @pytest.mark.parametrize("how", ["a byte", "the end", "a line more", "gone"])
    def test_embeddings(self, chunks: Path, out: Path, options: EmbedOptions, how: str) -> None:
        file = out / "docs_embeddings.jsonl"
        content = file.read_bytes()
        changed = {
            "a byte": content.replace(b"0.", b"1.", 1),
            "the end": content[:-5],
            "a line more": content * 2,
        }
        if how == "gone":
            file.unlink()
        else:
            file.write_bytes(changed[how])
        with pytest.raises(OutputExists, match="has changed or lost a file since") as caught:
            embed(chunks, out, options)
        assert "qembed audit" in str(caught.value.remedy)
        assert embed(chunks, out, replace(options, force=True)).status == "written"
        assert file.read_bytes() == content

    def test_summary_gone(self, chunks: Path, out: Path, options: EmbedOptions) -> None:
        (out / "docs_embedding_summary.json").unlink()
        with pytest.raises(OutputExists, match="lost a file"):
            embed(chunks, out, options)

    def test_a_foreign_file_of_that_name(
        self, chunks: Path, tmp_path: Path, options: EmbedOptions, loaded: list[Any]
    ) -> None:
        folder = tmp_path / "foreign"
        folder.mkdir()
        (folder / "docs_embeddings.jsonl").write_text("mine")
        with pytest.raises(OutputExists, match="no manifest") as caught:
            embed(chunks, folder, options)
        assert str(caught.value.where).endswith("docs_embeddings.jsonl")
        assert (folder / "docs_embeddings.jsonl").read_text() == "mine"
        assert loaded == []
        assert embed(chunks, folder, replace(options, force=True)).status == "written"

    def test_a_manifest_that_is_none(self, chunks: Path, out: Path, options: EmbedOptions) -> None:
        (out / "docs_embedding_manifest.json").write_text("{}")
        with pytest.raises(Mismatch, match="not a manifest"):
            embed(chunks, out, options)
        assert embed(chunks, out, replace(options, force=True)).status == "written"
