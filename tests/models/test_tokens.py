"""Token counts without the model, against the tokenizers themselves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.models import TokenCounter, load_tokenizer
from qembed.models.tokens import count_ids_with


@pytest.fixture(scope="session")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tiny), local_files_only=True)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=8))
def test_counts_are_those_of_transformers(tiny: Path, tokenizer: Any, texts: list[str]) -> None:
    expected = [len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for text in texts]
    counts = load_tokenizer(str(tiny)).count(texts)
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


def test_the_prompt_is_counted_with_every_text(tiny_models: Callable[[str], Path]) -> None:
    counter = load_tokenizer(str(tiny_models("prompted")))
    assert counter.document_prompt == "passage: "
    assert counter.count(["vector", "x"]).tolist() == [5, 5]  # [CLS] passage : ... [SEP]; x is x and nothing
    assert counter.count(["vector"], "").tolist() == [3]
    assert counter.count(["vector"], "query: query: ").tolist() == [7]


def test_padding_and_truncation_of_the_file_do_not_count(tiny: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = shutil.copytree(tiny, tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert load_tokenizer(str(folder)).count(["x", "vector " * 20]).tolist() == [3, 22]


def test_a_slow_tokenizer() -> None:
    class Slow:
        def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
            assert options == {"truncation": False, "verbose": False}
            return {"input_ids": [0] * (len(text) + 2)}

    assert TokenCounter(count_ids_with(Slow()), 10, "a").count(["", "bc"]).tolist() == [3, 5]


class TestMaxTokens:
    def limits(self, folder: Path, **files: Any) -> int:
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return load_tokenizer(str(folder)).max_tokens

    @pytest.fixture
    def folder(self, tiny: Path, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        for name in ("tokenizer.json", "config.json"):
            shutil.copy(tiny / name, folder)
        return folder

    def test_what_sentence_transformers_was_told(self, folder: Path) -> None:
        assert self.limits(folder, sentence_bert_config={"max_seq_length": 24}) == 24

    def test_the_smaller_of_tokenizer_and_positions(self, folder: Path) -> None:
        assert self.limits(folder, tokenizer_config={"model_max_length": 32}) == 32
        assert self.limits(folder, tokenizer_config={"model_max_length": 500}) == 64
        assert self.limits(folder, tokenizer_config={"model_max_length": int(1e30)}) == 64

    def test_not_said_anywhere(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="how many tokens"):
            self.limits(folder, config={"model_type": "bert"}, tokenizer_config={})


def test_a_folder_without_a_tokenizer(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="no tokenizer"):
        load_tokenizer(str(folder))


def test_a_broken_tokenizer_file(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError, match="tokenizer cannot be read") as caught:
        load_tokenizer(str(folder))
    assert caught.value.where == str(folder)


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_tokenizer(str(tmp_path))


def test_counting_needs_no_torch(tiny: Path) -> None:
    script = (
        "import sys\nfrom qembed.models import load_tokenizer\n"
        f"print(load_tokenizer({str(tiny)!r}).count(['vector search']).tolist())\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    repository = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout == "[4]\n[]\n"
