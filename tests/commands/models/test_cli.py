"""``qembed models``: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from qembed.cli import run
from qembed.commands.models.view import (
    count_in_words,
    literals,
    use_lines,
)
from qembed.models.catalog import FIELDS, ModelCard, find_model, load_catalog

CARDS = load_catalog()
each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Standard output of a command that must succeed and say nothing else."""
    assert run(["models", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def card_named(name: str) -> ModelCard:
    card = find_model(name)
    assert card is not None, name
    return card


class TestList:
    def test_one_row_a_model_with_its_figures(self, capsys: pytest.CaptureFixture[str]) -> None:
        rows = [line.split() for line in printed(capsys).splitlines()]
        assert ["nomic-embed-code", "7.07", "B", "3584", "32,768", "no", "no"] in rows
        assert ["nomic-embed-text-v1.5", "137", "M", "768", "8,192", "yes", "yes"] in rows
        assert ["all-MiniLM-L6-v2", "*", "22.7", "M", "384", "256", "no", "no"] in rows
        assert ["ms-marco-MiniLM-L6-v2", "+", "22.7", "M", "-", "512", "no", "no"] in rows
        listed = {row[0] for row in rows if row}
        assert listed >= {card.id.rpartition("/")[2] for card in CARDS}

    def test_footnotes_name_the_bundled_model_and_the_pickle(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = printed(capsys)
        assert "* bundled, works offline: --model minilm" in out
        assert "bge-m3: published as a pickle only" in out
        assert "^ works offline after: qembed models fetch msmarco (int8 weights)" in out
        assert "~ a sparse model" in out

    def test_fits_80_columns_and_has_no_escapes_in_a_pipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = printed(capsys)
        assert max(map(len, out.splitlines())) <= 80
        assert "\x1b" not in out

    def test_json_holds_every_field_of_every_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        models = json.loads(printed(capsys, "--json"))
        assert [model["id"] for model in models] == [card.id for card in CARDS]
        assert all(set(model) == FIELDS | {"names"} for model in models)
        assert models[0]["weight_bytes"]["fp32"] == 28_282_476_544


class TestShow:
    @each_card
    def test_fits_80_columns_but_for_addresses_and_commands(
        self, card: ModelCard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = printed(capsys, "show", card.id).splitlines()
        exempt = {f"  {source.url}" for source in card.sources} | {f"  {line}" for line in use_lines(card)}
        assert [line for line in lines if len(line) > 80 and line not in exempt] == []
        assert [line for line in lines if line != line.rstrip()] == []

    @each_card
    def test_says_everything_that_the_card_knows(
        self, card: ModelCard, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = printed(capsys, "show", card.id)
        assert out.startswith(card.id + "\n")
        for source in card.sources:
            assert source.url in out
        words = " ".join(out.split())
        revision = card.revision or "it is not on the hub"
        for text in (card.summary, revision, card.licence, f"{card.parameters:,}", *card.notes):
            assert " ".join(str(text).replace("\n", " ").split()) in words
        if card.unverified:
            assert f"? unverified: {', '.join(card.unverified)}" in words
        else:
            assert "?" not in words

    def test_prompts_are_shown_exactly(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert '"Represent this query for searching relevant code: "\n' in printed(
            capsys, "show", "nomic-code"
        )
        text = printed(capsys, "show", "nomic-text")
        assert '"search_query: "\n' in text
        assert '"search_document: "\n' in text
        qwen = printed(capsys, "show", "qwen3-0.6b")
        pieces = [line[line.index('"') :] for line in qwen.splitlines() if line.endswith('"')]
        assert "".join(map(json.loads, pieces)) == card_named("qwen3-0.6b").query_prompt

    def test_what_fits_a_t4(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = printed(capsys, "show", "nomic-embed-code")
        assert "fp32     28.28 GB  12.75 GB short for the weights alone\n" in out
        assert "fp16     14.14 GB  fits: " in out
        assert " GB stay free (auto)\n" in out
        assert "bf16     14.14 GB  only emulated at compute capability 7.5\n" in out
        assert "int8      7.62 GB  fits: 5.91 GB for batches\n" in out
        assert "on a T4 of 15.83 GB, texts of up to 2,048 tokens" in out

    def test_unverified_figures_are_marked(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = printed(capsys, "show", "nomic-embed-code").splitlines()
        marked = {line.split(" ?")[0] for line in lines if " ?  " in line}
        assert marked == {"Matryoshka", "Pooling", "Normalised", "Query prompt", "Chunk prompt",
                          "Remote code", "Weights"}  # fmt: skip

    def test_remote_code_names_files_and_repository(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = " ".join(printed(capsys, "show", "nomic-embed-text-v1.5").split())
        assert "modeling_hf_nomic_bert.py of nomic-ai/nomic-bert-2048" in words
        assert "--trust-remote-code" in words
        assert "Remote code none runs" in " ".join(printed(capsys, "show", "minilm").split())

    def test_longer_input_that_the_architecture_allows(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = " ".join(printed(capsys, "show", "minilm").split())
        assert (
            "256 with prompt and special tokens; what is longer is cut (the architecture allows 512)" in words
        )

    def test_json_of_one_model(self, capsys: pytest.CaptureFixture[str]) -> None:
        model = json.loads(printed(capsys, "show", "MINILM", "--json"))
        assert model["id"] == "sentence-transformers/all-MiniLM-L6-v2"
        assert model["names"] == ["sentence-transformers/all-minilm-l6-v2", "all-minilm-l6-v2", "minilm"]
        assert json.loads(printed(capsys, "--json", "show", "minilm")) == model

    def test_unknown_name_gets_the_closest_ones(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["models", "show", "nomic-embd-cod"]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "the catalog has no model 'nomic-embd-cod'" in captured.err
        assert "did you mean nomic-embed-code" in captured.err

    def test_name_far_from_all_gets_no_guess(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["models", "show", "zzzz"]) == 2
        err = capsys.readouterr().err
        assert "did you mean" not in err
        assert "`qembed models` lists all" in err


class TestUse:
    def test_names_in_commands_find_the_model(self) -> None:
        assert all(find_model(card.short_name) is card for card in CARDS)

    def test_command_line_fits_the_model(self) -> None:
        assert use_lines(card_named("minilm")) == ["qembed embed chunks/ -o out/ --model minilm"]
        (own_code,) = use_lines(card_named("coderank"))
        assert own_code.endswith("--model CodeRankEmbed --trust-remote-code")
        (code_elsewhere,) = use_lines(card_named("nomic-text"))
        assert code_elsewhere.endswith("--trust-remote-code --code-revision COMMIT")
        convert, use = use_lines(card_named("bge-m3"))
        assert "save_pretrained('bge-m3')" in convert
        assert use.endswith("--model ./bge-m3")
        assert "qembed embed chunks/" not in use_lines(card_named("ms-marco-minilm"))[0]


class TestWords:
    @pytest.mark.parametrize(
        ("number", "words"),
        [(7_070_619_136, "7.07 B"), (70_600_000_000, "70.6 B"), (595_776_512, "596 M"),
         (136_731_648, "137 M"), (22_713_216, "22.7 M"), (1_500_000, "1.50 M"), (500_000, "0.50 M")],
    )  # fmt: skip
    def test_counts_in_three_digits(self, number: int, words: str) -> None:
        assert count_in_words(number) == words

    @pytest.mark.parametrize("text", ["", "a: ", "x" * 200, "word " * 40, 'say "no"\n\n', "  two  "])
    def test_literals_join_to_the_text(self, text: str) -> None:
        pieces = literals(text)
        assert "".join(map(json.loads, pieces)) == text
        assert all(len(json.loads(piece)) <= 58 for piece in pieces)


@pytest.mark.parametrize("arguments", [["--help"], ["show", "--help"]])
def test_help_shows_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, *arguments)
    assert "Examples:\n    qembed models" in out
    assert max(map(len, out.splitlines())) <= 80


def test_listing_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numba', 'sentence_transformers', 'qdrant_client'}"
    lines = ["import sys", "from qembed.cli import run", "code = run(['models'])",
             f"found = {heavy} & set(sys.modules)", "sys.exit(str(found) if found else code)"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
