"""Splitting: nothing lost, order kept, every part within the limit, code kept together."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus.signatures import one_a_line, parameters_of, shorten
from qembed.corpus.split import Part, Text, split_texts
from qembed.records import Lengths

_TOKEN = re.compile(r"\w{1,4}|[^\w\s]|\n")


def count(texts: Sequence[str]) -> Lengths:
    """A tokenizer of pieces of four letters that sees line breaks, with two special tokens."""
    return np.array([2 + len(_TOKEN.findall(text)) for text in texts], dtype=np.int64)


def bare(text: str) -> str:
    return "".join(text.split())


def split(text: Text, max_tokens: int) -> list[Part]:
    return split_texts([text], max_tokens, count)[0]


LINE = st.text(alphabet="ab cd .,:!é(>`-", max_size=60)
BODY = st.lists(
    st.one_of(LINE, st.sampled_from(["", "```", ">>> f(x)", "    indented", "Example::"])), max_size=40
)
PARAMETERS = st.lists(
    st.sampled_from(["a", "b: int = 3", "c: dict[str, int] = {}", "d='x, (y'", "**kw"]), max_size=30
)


class TestProperties:
    @given(body=BODY, parameters=PARAMETERS, max_tokens=st.integers(24, 80))
    def test_nothing_is_lost_and_parts_fit(
        self, body: list[str], parameters: list[str], max_tokens: int
    ) -> None:
        title = f"p.f({', '.join(parameters)})"
        text = Text("p.f", title, "\n".join(body).strip("\n"))
        parts = split(text, max_tokens)
        expected = bare(text.body)
        if parts[0].header != title:
            expected += bare(one_a_line("p.f", title))
        assert bare("".join(part.body for part in parts)) == expected
        assert all(part.tokens <= max_tokens for part in parts)
        assert [part.tokens for part in parts] == count([part.content for part in parts]).tolist()
        assert all(part.header.startswith("p.f(") for part in parts)

    @given(word=st.text(alphabet="xyz", min_size=1, max_size=900))
    def test_a_word_longer_than_the_limit_is_sliced(self, word: str) -> None:
        parts = split(Text("p", "p", word), 24)
        assert "".join(part.body for part in parts) == word
        assert all(part.tokens <= 24 for part in parts)


class TestParts:
    def test_a_text_that_fits_is_one_part(self) -> None:
        assert split(Text("p.f", "p.f(a)", "One.\n\nTwo."), 50) == [Part("p.f(a)", "One.\n\nTwo.", 2 + 14)]

    def test_no_body_is_the_title_alone(self) -> None:
        assert split(Text("p.f", "p.f(a)", ""), 50)[0].content == "p.f(a)"

    def test_nothing_gives_nothing(self) -> None:
        assert split_texts([], 50, count) == []

    def test_cuts_fall_between_paragraphs(self) -> None:
        paragraphs = ["aa bb cc dd ee ff gg", "hh ii jj kk ll mm nn", "oo pp qq rr ss tt uu"]
        parts = split(Text("p", "p", "\n\n".join(paragraphs)), 22)
        assert [part.body for part in parts] == ["\n\n".join(paragraphs[:2]), paragraphs[2]]

    def test_continuations_repeat_the_name(self) -> None:
        parts = split(Text("p.f", "p.f(a: int) -> str", "\n\n".join(["aa bb cc dd ee"] * 9)), 40)
        assert len(parts) > 1
        assert parts[0].header == "p.f(a: int) -> str"
        assert {part.content.split("\n")[0] for part in parts[1:]} == {"p.f(a: int)"}

    def test_a_long_signature_moves_to_the_end(self) -> None:
        names = [f"name{at}: int = {at}" for at in range(12)]
        parts = split(Text("p.f", f"p.f({', '.join(names)}) -> str", "Says it."), 60)
        assert parts[0].header == "p.f(name0: int = 0, ...)"
        assert parts[0].body.startswith("Says it.\n\np.f(\n    name0: int = 0,\n    name1: int = 1,")
        assert parts[-1].body.endswith("    name11: int = 11,\n) -> str")

    def test_a_fenced_block_stays_whole(self) -> None:
        fence = "```python\na = 1\n\nb = 2\n```"
        parts = split(Text("p", "p", f"{'aa bb cc dd ee ff. ' * 2}\n\n{fence}\n\nend"), 32)
        assert sum(fence in part.body for part in parts) == 1

    def test_a_lead_in_goes_with_its_block(self) -> None:
        body = f"{'aa bb cc dd ' * 4}\n\nExample::\n\n    >>> f(1)\n    2"
        parts = split(Text("p", "p", body), 30)
        assert parts[1].body == "Example::\n\n    >>> f(1)\n    2"

    def test_a_list_is_cut_before_a_parameter(self) -> None:
        body = "\n".join(f"{name} : int\n    aa bb cc dd\n    ee ff gg hh" for name in "abcdef")
        parts = split(Text("p", "p", body), 40)
        assert len(parts) > 1
        assert all(not part.body.startswith(" ") for part in parts)

    def test_an_example_is_cut_before_a_statement(self) -> None:
        body = "\n".join(f">>> f({at},\n...   2)\n[aa bb cc dd]" for at in range(8))
        assert all(part.body.startswith(">>>") for part in split(Text("p", "p", body), 42))

    def test_a_name_that_reaches_the_limit_leaves_parts_over_it(self) -> None:
        name = "long." * 20 + "f"
        parts = split(Text(name, name, "aa bb cc " * 20), 32)
        assert bare("".join(part.body for part in parts)) == "aabbcc" * 20
        assert all(part.header == name and part.tokens > 32 for part in parts)

    def test_joined_pieces_may_have_more_tokens_than_their_sum(self) -> None:
        def dearer_together(texts: Sequence[str]) -> Lengths:
            words = [len(text.split()) for text in texts]
            return np.array([2 + number + number // 4 for number in words], dtype=np.int64)

        body = "\n".join(["aa bb cc"] * 40)
        (parts,) = split_texts([Text("p", "p", body)], 30, dearer_together)
        assert bare("".join(part.body for part in parts)) == bare(body)
        assert all(part.tokens <= 30 for part in parts)
        assert len(parts) <= 8

    def test_the_tokenizer_is_asked_in_batches(self) -> None:
        calls = 0

        def counted(texts: Sequence[str]) -> Lengths:
            nonlocal calls
            calls += 1
            return count(texts)

        texts = [Text(f"p.f{at}", f"p.f{at}()", "aa bb cc dd.\n\n" * 40) for at in range(200)]
        parts = split_texts(texts, 40, counted)
        assert min(map(len, parts)) > 5
        assert calls < 40


class TestSignatures:
    @pytest.mark.parametrize(
        ("signature", "parameters", "rest"),
        [
            ("() -> None", [], " -> None"),
            ("(a, b: int = 1)", ["a", "b: int = 1"], ""),
            ("(a: dict[str, int] = {1: 2}, /, *, b)", ["a: dict[str, int] = {1: 2}", "/", "*", "b"], ""),
            (r"""(a='x, (', b="it's", c='\'')""", ["a='x, ('", '''b="it's"''', r"c='\''"], ""),
        ],
    )
    def test_parameters(self, signature: str, parameters: list[str], rest: str) -> None:
        assert parameters_of(signature) == (parameters, rest)

    @pytest.mark.parametrize(
        ("title", "characters", "short"),
        [
            ("p.f(a, b, c) -> int", 40, "p.f(a, b, c) -> int"),
            ("p.f(a, b, c) -> dict[str, int]", 18, "p.f(a, b, c)"),
            ("p.f(aaaa, bbbb, cccc)", 19, "p.f(aaaa, ...)"),
            ("p.f(aaaa, bbbb)", 1, "p.f(...)"),
            ("p.f: int = 1234567890", 14, "p.f: int = ..."),
            ("p.f", 1, "p.f"),
        ],
    )
    def test_shorten(self, title: str, characters: int, short: str) -> None:
        assert shorten("p.f", title, characters) == short
