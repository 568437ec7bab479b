"""``corpus_from_markdown``: the folder that it makes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.corpus.from_markdown import MARKER, MarkdownCorpus, corpus_from_markdown
from qembed.corpus import CorpusOptions, read_chunks
from qembed.errors import InputNotFound, OutputExists, QembedError, UsageError

pytestmark = pytest.mark.usefixtures("word_tokenizer")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs/guide").mkdir(parents=True)
    (tmp_path / "docs/a.md").write_text("# Alpha\n\nFirst.\n\n## Beta\n\n" + "one two three. " * 60)
    (tmp_path / "docs/guide/b.md").write_text("﻿# Gamma\n\nSecond.\n", encoding="utf-8")
    (tmp_path / "docs/empty.md").write_text("# Nothing\n")
    return tmp_path / "docs"


def make(*inputs: Path, output: Path, **options: Any) -> MarkdownCorpus:
    return corpus_from_markdown(inputs, output, collection="hand", **options)


def test_what_is_written_reads_back_with_the_same_ids(docs: Path, tmp_path: Path) -> None:
    made = make(docs, output=tmp_path / "out")
    assert [(page.name, page.sections) for page in made.pages] == [("a", 2), ("guide/b", 1)]
    assert made.empty == (str(docs / "empty.md"),)
    chunks = list(read_chunks(tmp_path / "out", CorpusOptions(collection="hand")))
    written = [
        chunk["chunk_id"]
        for file in sorted((tmp_path / "out").glob("*/*_chunks.json"))
        for chunk in json.loads(file.read_text(encoding="utf-8"))
    ]
    assert sorted(chunk.id for chunk in chunks) == sorted(written)
    assert written[:2] == ["hand:guide:b#gamma:chunk:0", "hand:root:a#alpha:chunk:0"]
    assert {chunk.metadata["source_path"] for chunk in chunks} == {"a.md", "guide/b.md"}
    assert {chunk.metadata["subdirectory"] for chunk in chunks} == {"root", "guide"}
    assert len(chunks) == sum(page.chunks for page in made.pages) > 3


def test_every_chunk_begins_with_its_titles(docs: Path, tmp_path: Path) -> None:
    make(docs, output=tmp_path / "out")
    texts = [chunk.text for chunk in read_chunks(tmp_path / "out") if chunk.metadata["anchor"] == "beta"]
    assert len(texts) > 1
    assert all(text.startswith("Alpha > Beta") for text in texts)


def test_again(docs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(docs, output=output)
    with pytest.raises(OutputExists, match="not empty"):
        make(docs, output=output)
    (docs / "a.md").write_text("# Alpha\n\nNew.\n")
    make(docs, output=output, force=True)
    assert "New." in (output / "root/a_chunks.json").read_text(encoding="utf-8")
    (output / "root" / MARKER).unlink()
    with pytest.raises(OutputExists, match="not made by this command"):
        make(docs, output=output, force=True)


def test_single_files_are_called_like_themselves(docs: Path, tmp_path: Path) -> None:
    made = make(docs / "guide/b.md", docs / "a.md", docs / "a.md", output=tmp_path / "out")
    assert [page.name for page in made.pages] == ["b", "a"]


def test_pages_that_are_not_made_again_stay(docs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(docs, output=output)
    (docs / "new.md").write_text("# New\n\nText.\n")
    make(docs / "new.md", output=output, force=True)
    assert {chunk.metadata["source_path"] for chunk in read_chunks(output)} == {
        "a.md",
        "new.md",
        "guide/b.md",
    }


def test_every_suffix_of_markdown_is_read_and_no_other(tmp_path: Path) -> None:
    for name in ("a.md", "b.markdown", "c.mdx", "deep/er/D.MD"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(f"# {name}\n\nText.\n")
    (tmp_path / "docs/e.rst").write_text("E\n=\n\nText.\n")
    made = make(tmp_path / "docs", output=tmp_path / "out")
    assert [page.name for page in made.pages] == ["a", "b", "c", "deep/er/D"]
    chunks = {chunk.metadata["source_path"]: chunk for chunk in read_chunks(tmp_path / "out")}
    deep = chunks["deep/er/D.MD"].metadata
    assert (deep["subdirectory"], deep["filename"]) == ("deep", "er.D#deeperdmd")


def test_front_matter_is_metadata(tmp_path: Path) -> None:
    page = "---\ntitle: Install\ntags: [a, b]\ndate: 2026-01-02\n---\n\nText.\n\n## Next { #then }\n\nMore.\n"
    (tmp_path / "page.md").write_text(page)
    (tmp_path / "odd.md").write_text("---\nkey: [\n---\n\nText of it.\n")
    made = make(tmp_path / "page.md", tmp_path / "odd.md", output=tmp_path / "out")
    assert list(made.notes) == [str(tmp_path / "odd.md")]
    chunks = {chunk.id: chunk for chunk in read_chunks(tmp_path / "out", CorpusOptions("hand"))}
    first, then = chunks["hand:root:page#top:chunk:0"], chunks["hand:root:page#then:chunk:0"]
    assert first.text == "Install\n\nText."
    assert then.text == "Install > Next\n\nMore."
    assert first.metadata["front_matter"] == {"title": "Install", "tags": ["a", "b"], "date": "2026-01-02"}
    assert then.metadata["line"] == 9
    odd = [chunk for name, chunk in chunks.items() if ":odd#" in name]
    assert "Text of it." in " ".join(chunk.text for chunk in odd)
    assert all("front_matter" not in chunk.metadata for chunk in odd)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["missing.md"], InputNotFound, "does not exist"),
        (["bare"], InputNotFound, "holds no Markdown"),
        (["empty.md"], InputNotFound, "no file has any text"),
        (["a.md", "guide/a.md"], UsageError, "two files would be the page 'a'"),
        (["latin.md"], UsageError, "not UTF-8"),
        (["a.rst"], UsageError, "not a Markdown file"),
    ],
)
def test_refused(
    docs: Path, tmp_path: Path, names: list[str], error: type[QembedError], message: str
) -> None:
    (docs / "bare").mkdir()
    (docs / "guide/a.md").write_text("# Other\n\nText.\n")
    (docs / "a.rst").write_text("Alpha\n=====\n\nText.\n")
    (docs / "latin.md").write_bytes(b"# T\n\n\xe9\n")
    with pytest.raises(error, match=message):
        make(*(docs / name for name in names), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_line(docs: Path, tmp_path: Path, run_cli: Any) -> None:
    ran = run_cli(["corpus", "from-markdown", docs, "-o", tmp_path / "hb", "--json"])
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["collection"] == "hb"
    assert [page["name"] for page in document["pages"]] == ["a", "guide/b"]
    ran = run_cli(["corpus", "from-markdown", docs, "-o", tmp_path / "hb"])
    assert ran.code == 2
    ran = run_cli(["corpus", "from-markdown", docs, "-o", tmp_path / "hb", "--force"])
    assert f"{sum(page['chunks'] for page in document['pages'])} chunks of at most 64" in ran.out
    assert "next: qembed embed" in ran.err
    # A line with a path stays whole, so that it can be copied.
    assert max(len(line) for line in ran.out.splitlines() if str(tmp_path) not in line) <= 80
