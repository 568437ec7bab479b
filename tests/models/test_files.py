"""The small files of a model: prompts by role, and JSON that may be absent but not broken."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from qembed.errors import UsageError
from qembed.models import ModelSource, Prompts, prompts_of, resolve_model
from qembed.models.files import read_json, unused_prompts


def source(folder: Path | None, **prompts: str) -> ModelSource:
    card = resolve_model("nomic-ai/nomic-embed-text-v1.5").card
    assert card is not None
    changed = dataclasses.replace(card, **{f"{role}_prompt": text for role, text in prompts.items()})
    return ModelSource("x", "owner/x", "hub", folder, None, changed if prompts else None)


class TestPrompts:
    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            ({}, Prompts("", "")),
            ({"prompts": None}, Prompts("", "")),
            ({"prompts": {}}, Prompts("", "")),
            ({"prompts": {"query": "q: ", "document": "d: "}}, Prompts("q: ", "d: ")),
            ({"prompts": {"query": "q: ", "passage": "p: "}}, Prompts("q: ", "")),
            ({"prompts": {"corpus": "c: "}}, Prompts("", "")),
            ({"prompts": {"passage": "p: ", "document": "d: ", "corpus": "c: "}}, Prompts("", "d: ")),
            ({"prompts": {"s2p": "x: "}, "default_prompt_name": "s2p"}, Prompts("", "")),
            ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, Prompts("q: ", "")),
            (
                {"prompts": {"query": "q: ", "s2p": "x: "}, "default_prompt_name": "s2p"},
                Prompts("q: ", ""),
            ),
            ({"prompts": {"s2p": "x: "}}, Prompts("", "")),
            ({"prompts": {"query": 5}}, Prompts("", "")),
        ],
    )
    def test_of_the_models_files(self, tmp_path: Path, config: dict[str, Any], expected: Prompts) -> None:
        (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(config))
        assert prompts_of(source(tmp_path)) == expected

    def test_a_prompt_that_no_role_reads_is_named(self, tmp_path: Path) -> None:
        config = tmp_path / "config_sentence_transformers.json"
        config.write_text('{"prompts": {"query": "q: ", "passage": "p: "}}')
        (said,) = unused_prompts(source(tmp_path))
        assert "'passage'" in said
        assert "--document-prompt 'p: '" in said
        for prompts in ({"document": "d: ", "passage": "p: "}, {"query": "q: "}, {"passage": ""}):
            config.write_text(json.dumps({"prompts": prompts}))
            assert unused_prompts(source(tmp_path)) == ()

    def test_the_catalog_fills_what_the_files_do_not_name(self, tmp_path: Path) -> None:
        known = source(tmp_path, query="cq: ", document="cd: ")
        assert prompts_of(known) == Prompts("cq: ", "cd: ")
        (tmp_path / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}')
        assert prompts_of(known) == Prompts("q: ", "cd: ")
        (tmp_path / "config_sentence_transformers.json").write_text('{"prompts": {"query": ""}}')
        assert prompts_of(known) == Prompts("", "cd: ")  # the model says: none

    def test_before_the_files_are_here_the_catalog_speaks(self) -> None:
        assert prompts_of(source(None, query="cq: ", document="")) == Prompts("cq: ", "")

    def test_by_role(self) -> None:
        assert (Prompts("q", "d").of("query"), Prompts("q", "d").of("document")) == ("q", "d")


class TestReadJson:
    def test_absent(self, tmp_path: Path) -> None:
        assert read_json(tmp_path / "none.json") == {}

    @pytest.mark.parametrize(
        ("content", "words"),
        [(b"{", "not valid JSON"), (b"", "not valid"), (b"[1]", "object"), (b"\xff{}", "JSON")],
    )
    def test_broken(self, tmp_path: Path, content: bytes, words: str) -> None:
        file = tmp_path / "config.json"
        file.write_bytes(content)
        with pytest.raises(UsageError, match=words) as caught:
            read_json(file)
        assert caught.value.where == str(file)
