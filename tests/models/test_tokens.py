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
from qembed.models.tokens import reader_with


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


class Slow:
    """A tokenizer without a Rust backend: a character is a token, between 1 and 2, 3."""

    def __call__(
        self, text: str, *, truncation: bool, add_special_tokens: bool, verbose: bool
    ) -> dict[str, list[int]]:
        assert not truncation
        ids = [ord(character) for character in text]
        return {"input_ids": [1, *ids, 2, 3] if add_special_tokens else ids}


def test_a_slow_tokenizer() -> None:
    counter = TokenCounter(reader_with(Slow()), 10, "a")
    assert counter.count(["", "bc"]).tolist() == [4, 6]
    found = counter.encode(["", "bcde"], 5)
    assert found.lengths.tolist() == [4, 8]
    assert [found[i].tolist() for i in range(2)] == [[1, 97, 2, 3], [1, 97, 98, 2, 3]]


class TestIds:
    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=8),
        max_tokens=st.integers(3, 30),
        prompt=st.sampled_from(["", "passage: "]),
    )
    def test_ids_are_those_of_transformers(
        self, tiny: Path, tokenizer: Any, texts: list[str], max_tokens: int, prompt: str
    ) -> None:
        found = load_tokenizer(str(tiny)).encode(texts, max_tokens, prompt)
        prompted = [prompt + text for text in texts]
        expected = [tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"] for text in prompted]
        assert [found[i].tolist() for i in range(len(found))] == expected
        full = [len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for text in prompted]
        assert found.lengths.tolist() == full
        assert (found.ids.dtype, found.lengths.dtype, found.offsets.dtype) == (np.int32, np.int64, np.int64)
        assert found.offsets[-1] == len(found.ids) == sum(map(len, expected))

    def test_the_models_own_limit_and_prompt_when_none_is_given(
        self, tiny_models: Callable[[str], Path]
    ) -> None:
        counter = load_tokenizer(str(tiny_models("prompted")))
        found = counter.encode(["vector " * 50])
        assert found.lengths.tolist() == [54]
        assert np.array_equal(found[0], counter.encode(["vector " * 50], 24, "passage: ")[0])
        assert len(found[0]) == 24

    def test_much_text_is_tokenised_in_slices(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counter = load_tokenizer(str(tiny))
        texts = [f"vector {number}" for number in range(100)]
        whole = counter.encode(texts)
        monkeypatch.setattr("qembed.models.tokens._SLICE_CHARACTERS", 25)
        sliced = counter.encode(texts)
        assert np.array_equal(whole.ids, sliced.ids)
        assert np.array_equal(whole.offsets, sliced.offsets)
        assert counter.count(texts).tolist() == whole.lengths.tolist()

    def test_no_texts(self, tiny: Path) -> None:
        found = load_tokenizer(str(tiny)).encode([])
        assert (len(found), found.ids.tolist(), found.offsets.tolist()) == (0, [], [0])

    def test_a_counter_that_only_counts_says_so(self) -> None:
        with pytest.raises(TypeError, match="only counts"):
            TokenCounter(lambda texts: [1] * len(texts), 10).encode(["a"])


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
