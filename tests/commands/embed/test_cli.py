"""``qembed embed``: options reach the engine, stdout and stderr, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.embed.embed import EmbedOptions
from qembed.corpus import CorpusOptions
from qembed.models import Encoder, EncoderOptions

RunCli = Callable[[Sequence[str | Path]], Any]


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: Callable[[Path, Mapping[str, Sequence[Any]]], Path]) -> Path:
    return write_chunks(
        tmp_path / "docs", {"a/x": ["vector " * 30, "point"], "b/y": ["point", {"content": 5}]}
    )


@pytest.fixture
def command(chunks: Path, tmp_path: Path, tiny: Path) -> list[str | Path]:
    return ["embed", chunks, "-o", tmp_path / "out", "--model", tiny, "--device", "cpu"]


def test_the_table(run_cli: RunCli, command: list[str | Path], tmp_path: Path) -> None:
    ran = run_cli(command)
    assert ran.code == 0
    assert "3 chunks, 2 unique texts (33% are exact duplicates)" in ran.out
    assert "The model reads 24 tokens: 33% of the chunks are truncated" in ran.out
    assert "1 findings, the first: b/y_chunks.json, item 1: text-not-a-string" in " ".join(ran.out.split())
    assert str(tmp_path / "out" / "docs_embeddings.jsonl") in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines() if str(tmp_path) not in line)
    assert "encoding" not in ran.out
    assert "encoding" in ran.err  # progress goes to stderr


def test_again_says_so(run_cli: RunCli, command: list[str | Path]) -> None:
    run_cli(command)
    ran = run_cli(command)
    assert ran.code == 0
    assert "Nothing to do" in ran.out


def test_json_is_all_of_stdout(run_cli: RunCli, command: list[str | Path], tmp_path: Path) -> None:
    written = json.loads(run_cli([*command, "--json"]).out)
    assert written["status"] == "written"
    assert written["files"]["embeddings"] == str(tmp_path / "out" / "docs_embeddings.jsonl")
    summary = json.loads((tmp_path / "out" / "docs_embedding_summary.json").read_text())
    assert written["summary"] == summary
    assert json.loads(run_cli([*command, "--json"]).out) == {**written, "status": "unchanged"}


def test_quiet(run_cli: RunCli, command: list[str | Path]) -> None:
    assert run_cli([*command, "-q"]).err == ""


def test_dry_run(run_cli: RunCli, command: list[str | Path], tmp_path: Path) -> None:
    ran = run_cli([*command, "--dry-run"])
    assert ran.code == 0
    assert "Would run 1 batches" in ran.out
    assert "nothing was written" in " ".join(ran.out.split())
    assert not (tmp_path / "out").exists()


def test_every_option_reaches_the_engine(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def embed(*arguments: Any, **options: Any) -> None:
        seen.extend(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("qembed.commands.embed.embed.embed", embed)
    line = (
        "embed in -o out -m owner/x --collection c --limit 3 --id-from path --device cuda:1 --precision bf16 "
        "--revision r --trust-remote-code --code-revision s --max-length 99 --truncate-dim 7 --no-normalize "
        "--token-budget 11 --max-batch 5 --strict --force --dry-run"
    )
    ran = run_cli([*line.split(), "--document-prompt", "d: ", "--query-prompt", ""])
    assert ran.code == 130
    assert ran.err.strip() == "interrupted"
    encoder = EncoderOptions(
        device="cuda:1",
        precision="bf16",
        max_length=99,
        truncate_dim=7,
        normalize=False,
        query_prompt="",
        document_prompt="d: ",
        trust_remote_code=True,
        revision="r",
        code_revision="s",
    )
    corpus = CorpusOptions("c", 3, "path")
    assert seen == [
        Path("in"),
        Path("out"),
        EmbedOptions("owner/x", corpus, encoder, 11, 5, strict=True, force=True, dry_run=True),
    ]


def test_defaults(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def embed(*arguments: Any, **options: Any) -> None:
        seen.extend(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("qembed.commands.embed.embed.embed", embed)
    run_cli(["embed", "in", "-o", "out"])
    assert seen[2] == EmbedOptions()
    assert seen[2].model == "nomic-ai/nomic-embed-code"


class TestExitCodes:
    @pytest.fixture(autouse=True)
    def explode(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def boom(*_: object, **__: object) -> None:
            raise AssertionError("the model was loaded")

        monkeypatch.setattr(Encoder, "load", boom)

    def test_strict(self, run_cli: RunCli, command: list[str | Path]) -> None:
        ran = run_cli([*command, "--strict"])
        assert ran.code == 3
        assert ran.out == ""
        assert "error: --strict: 1 findings" in ran.err
        assert "where: b/y_chunks.json, item 1: text-not-a-string" in ran.err
        assert "next:  qembed inspect" in ran.err

    def test_the_default_model_offline(self, run_cli: RunCli, chunks: Path, tmp_path: Path) -> None:
        ran = run_cli(["embed", chunks, "-o", tmp_path / "out"])
        assert ran.code == 4
        assert ran.out == ""
        assert "nomic-ai/nomic-embed-code" in ran.err
        assert "--model minilm" in ran.err
        assert "Traceback" not in ran.err

    def test_other_settings(
        self, run_cli: RunCli, command: list[str | Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        assert run_cli([*command, "-q"]).code == 0
        ran = run_cli([*command, "-q", "--truncate-dim", "8"])
        assert ran.code == 2
        assert "truncate_dim None, now 8" in ran.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["embed", "in"],
            ["embed", "-o", "out"],
            ["embed", "in", "-o", "out", "--limit", "0"],
            ["embed", "in", "-o", "out", "--precision", "fp8"],
            ["embed", "in", "-o", "out", "--no-such-option"],
            ["embed", "absent-folder", "-o", "out", "--model", "./absent"],
        ],
    )
    def test_usage(
        self, run_cli: RunCli, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ran = run_cli(arguments)
        assert ran.code == (4 if "./absent" in arguments else 2)
        assert ran.out == ""
        assert ran.err

    def test_a_missing_input(self, run_cli: RunCli, tmp_path: Path, tiny: Path) -> None:
        ran = run_cli(["embed", tmp_path / "absent", "-o", tmp_path / "out", "--model", tiny])
        assert ran.code == 2
        assert "absent" in ran.err
