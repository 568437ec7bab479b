"""What could be asked of a chunk."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.eval_sets.draft_sources import LEAST_PROSE_WORDS, candidates, plain

PROSE = "Some words of plain prose that stand below and tell the reader enough to know what is meant here."
LINKS = "\n".join(f"- [A page about topic {number}](https://example.org/{number}/)" for number in range(30))

API = {"qualified_name": "click.echo", "chunk_index": 0}


def found(text: str, metadata: dict[str, Any] | None = None) -> list[tuple[str, str, bool]]:
    return [(each.kind, each.text, each.answered) for each in candidates(text, metadata or {})]


class TestSectionsMadeFromMarkdown:
    MADE: ClassVar = {"anchor": "filters", "title": "Guide > Filtering by `payload`", "chunk_index": 0}
    TEXT = f"Guide > Filtering by `payload`\n\n{PROSE}"

    def test_the_heading_is_at_the_end_of_the_title(self) -> None:
        assert found(self.TEXT, self.MADE) == [("heading", "Filtering by payload", True)]

    def test_only_the_first_part_of_a_section_asks_it(self) -> None:
        assert found(self.TEXT, {**self.MADE, "chunk_index": 1}) == []

    def test_a_heading_that_asks_is_a_question(self) -> None:
        made = {**self.MADE, "title": "Guide > How do I delete points?"}
        assert found(self.TEXT, made) == [("question", "How do I delete points?", True)]

    def test_without_prose_it_is_not_answered(self) -> None:
        assert found("Guide > Filtering by payload\n\nShort.", self.MADE) == [
            ("heading", "Filtering by payload", False)
        ]


class TestHeadings:
    @pytest.mark.parametrize(
        "line",
        [
            "## Creating a payload index",
            "### 3.2 Creating a payload index ###",
            "# Creating a **payload** `index`",
            "## [Creating a payload index](#creating)",
            "## Creating a payload index {#creating}",
            "## Creating a payload index¶",
            "Creating a payload index\n------------------------",
        ],
    )
    def test_markup_and_numbers_go(self, line: str) -> None:
        assert found(f"{line}\n\n{PROSE}") == [("heading", "Creating a payload index", True)]

    def test_one_word_asks_for_nothing(self) -> None:
        assert found(f"## Parameters\n{PROSE}\n## 4.2\n{PROSE}\n## Next steps\n{PROSE}") == []

    def test_the_answer_must_stand_below_in_the_chunk(self) -> None:
        text = f"{PROSE}\n## Links only\n{LINKS}\n## Another title\nFew words.\n## At the end"
        assert {title: answered for _, title, answered in found(text)} == {
            "Links only": False,
            "Another title": False,
            "At the end": False,
        }
        assert len(PROSE.split()) > LEAST_PROSE_WORDS

    def test_comments_in_code_are_no_headings(self) -> None:
        code = f"# Create the client\n{PROSE}"
        assert found(f"{PROSE}\n```python\n{code}\n```\n{PROSE}") == []
        assert found(f"{code}\n```\n{PROSE}") == [], "the chunk begins within code"
        assert found(f"{PROSE}\n~~~python\n{code}") == [], "the chunk ends within code"

    def test_tables_and_rules_are_no_headings(self) -> None:
        assert found(f"| name | what |\n------------\n{PROSE}") == []
        assert found(f"{PROSE}\n---\n{PROSE}") == []
        assert found(f"- a list of things\n-----------\n{PROSE}") == []


class TestQuestions:
    def test_in_a_heading_a_sentence_and_a_bullet(self) -> None:
        text = (
            f"## How do I delete points?\n{PROSE}\n"
            f"It is fast. Why is it so fast at v1.5 of all? {PROSE}\n"
            f"- **Which index should I use?** {PROSE}\n"
        )
        assert found(text) == [
            ("question", "How do I delete points?", True),
            ("question", "Why is it so fast at v1.5 of all?", True),
            ("question", "Which index should I use?", True),
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "Was this page useful to you?",
            "Is this page of any use to you?",
            "Ready to get started with it?",
            "See https://example.org/how?a=b and more",
            "What?",
        ],
    )
    def test_these_are_none(self, line: str) -> None:
        assert found(f"{line}\n{PROSE}") == []

    def test_one_that_nothing_follows_is_not_answered(self) -> None:
        assert found(f"{PROSE} How do I delete points?") == [("question", "How do I delete points?", False)]


class TestDocstrings:
    def test_of_api_documentation(self) -> None:
        text = "click.echo(message)\n\nPrint a message, e.g. a line, and a\nnewline. Unicode works.\n\nMore."
        assert found(text, API) == [("docstring", "Print a message, e.g. a line, and a newline", True)]

    def test_of_a_later_part_of_an_entry_there_is_none(self) -> None:
        text = "click.echo(message)\n\nand here the text of the part before goes on."
        assert found(text, {**API, "chunk_index": 1}) == []

    def test_a_list_of_parameters_is_none(self) -> None:
        assert found("click.echo(message)\n\nArgs: message: what is printed on the screen", API) == []

    @pytest.mark.parametrize("quotes", ['"""', "'''", 'r"""'])
    def test_of_source_code(self, quotes: str) -> None:
        text = f"    async def f(\n  x):\n\n    def g(x: int):\n        {quotes}Count the `x` of a thing.\n"
        assert found(text) == [("docstring", "Count the x of a thing", True)]

    def test_roles_become_their_words(self) -> None:
        assert plain("Pass it to :py:meth:`~click.Context.invoke` or :class:`Foo <a.Foo>`.") == (
            "Pass it to click.Context.invoke or Foo ."
        )


def test_markup() -> None:
    line = "**Bold** and _it_ &amp; `a_b` [label](http://x.y/z) snake_case ![alt](i.png)"
    assert plain(line) == "Bold and it & a_b label snake_case alt"


MARKUP = st.text(st.sampled_from("#*`[]()!?.:_-=~|\\\n wW"), max_size=200)


@given(st.one_of(MARKUP, st.text(max_size=200)), st.sampled_from([{}, API]))
def test_any_text_is_read(text: str, metadata: dict[str, Any]) -> None:
    every = candidates(text, metadata)
    assert len({each.text.lower() for each in every}) == len(every)
    assert all(each.text == " ".join(each.text.split()) for each in every)


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "](",
        "# ",
        "`",
        ":a:`",
        "* ",
        "How is ",
        "def f(",
        "**",
        "```\n",
        "a?",
        "why (",
        "# word by word\n",
    ],
)
def test_hostile_repetition_ends(piece: str) -> None:
    assert len(candidates(piece * (100_000 // len(piece)), {})) <= 1  # a quadratic pattern would not end
