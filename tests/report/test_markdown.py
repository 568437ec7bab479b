"""Markdown for pull requests."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from qembed.report.markdown import bench_markdown, code_block, escaped
from qembed.report.stored import StoredBench


def test_verdicts_tables_and_how_to_repeat_it(full: StoredBench) -> None:
    text = bench_markdown(full)
    assert text.startswith(
        "### 20 questions cannot tell whether the new embeddings are better than the old ones.\n"
    )
    vectors = full.systems[0]["estimates"]["nDCG@10"]
    row = f"| New embeddings <sub>vectors</sub> | {vectors['mean']:.3f} <sub>"
    assert row in text
    assert "**BM25 keyword search: " in text, "brackets and the like are escaped only where they must be"
    assert "qembed report " in text
    assert len(text) < 65_536, "what GitHub takes for a comment"


def test_tables_are_tables(full: StoredBench) -> None:
    html = MarkdownIt("commonmark").enable("table").render(bench_markdown(full))
    assert html.count("<table>") == 3
    assert "<th style" in html


@pytest.mark.parametrize(
    "text", ["a | b", "<b>x</b>", "*x* _y_ `z`", "a\n# b", "[x](http://y)", "back\\slash"]
)
def test_what_is_shown_is_the_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").parseInline(escaped(text))[0].children or []
    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == " ".join(text.split())


def test_a_fence_outlasts_those_in_the_text() -> None:
    assert code_block("a\n```\nb") == ["````", "a\n```\nb", "````"]
    assert code_block("a")[0] == "```"


def test_hostile_texts(hostile: StoredBench) -> None:
    html = MarkdownIt("commonmark").enable("table").render(bench_markdown(hostile))
    assert "<u>" not in html
    assert "&lt;u&gt;hostile" in html
