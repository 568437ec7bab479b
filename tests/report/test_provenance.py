"""Where numbers come from, and how to repeat them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from qembed.report.embedding import Embedding
from qembed.report.provenance import flat, provenance_table, repeat_commands
from qembed.report.stored import StoredBench


def with_eval_set(full: StoredBench, **changes: Any) -> StoredBench:
    document = copy.deepcopy(full.document)
    document["eval_set"] |= changes
    document["environment"]["command"] = ["qembed", "bench", "a folder", "-e", "set"]
    document["environment"]["libraries"]["torch"] = "2.13.0+cpu"
    return replace(full, document=document)


def test_commands_in_order(full: StoredBench) -> None:
    bench = with_eval_set(full, packages=["click==8.5.1"], corpus="qembed corpus from-package click -o c")
    made = Embedding("docs", [], [], [], ["qembed", "embed", "c", "-o", "out"], None)
    lines = [line for _, line in repeat_commands(bench, [made])]
    assert lines[1].startswith("pip install torch==2.13.0 "), "a build's own suffix is in no registry"
    assert lines[2:6] == [
        "pip install click==8.5.1",
        "qembed corpus from-package click -o c",
        "qembed embed c -o out",
        "qembed bench 'a folder' -e set",
    ]
    assert lines[6].startswith("qembed report ")


@pytest.mark.parametrize(
    ("installation", "why", "line"),
    [
        ({"from": "index"}, "qembed-toolkit 0.9", "pip install qembed-toolkit==0.9"),
        (
            {"from": "vcs", "vcs": "git", "url": "https://host/o/qembed", "commit": "abc"},
            "qembed-toolkit 0.9",
            "pip install git+https://host/o/qembed@abc",
        ),
        ({"from": "archive", "url": "a b.whl"}, "qembed-toolkit 0.9", "pip install 'a b.whl'"),
        (
            {"from": "folder", "commit": "abc-dirty"},
            "qembed-toolkit 0.9, in its repository, with changes that were not committed",
            "git checkout abc && pip install .",
        ),
        (
            {"from": "vcs", "vcs": "git", "commit": "abc"},
            "qembed-toolkit 0.9, in its repository",
            "git checkout abc && pip install .",
        ),
        ({"from": "none", "commit": None}, "qembed-toolkit 0.9; how it was installed is not recorded", ""),
        (None, "qembed-toolkit 0.9; how it was installed is not recorded", ""),
    ],
    ids=["index", "git", "wheel", "folder", "local git", "sources", "an old bench"],
)
def test_how_qembed_was_installed(
    full: StoredBench, installation: dict[str, Any] | None, why: str, line: str
) -> None:
    bench = with_eval_set(full)
    made = bench.document["environment"]
    made["qembed"] = "0.9"
    if installation is None:
        del made["installation"]
    else:
        made["installation"] = installation
    assert repeat_commands(bench, [])[0] == (why, line)


def test_a_corpus_in_words_is_no_command(full: StoredBench) -> None:
    steps = repeat_commands(with_eval_set(full, corpus="the wiki of 2024"), [])
    assert ("the corpus: the wiki of 2024", "") in steps


def test_everything_is_in_the_table(full: StoredBench) -> None:
    rows = {(row[0].text, row[1].text): row[2].text for row in provenance_table(full, []).rows}
    assert rows["eval set", "sha256"] == full.document["eval_set"]["sha256"]
    assert rows["vectors > good", "id"] == "good"
    assert rows["options", "seed"] == "0"
    assert rows["environment", "libraries.numpy"] == full.document["environment"]["libraries"]["numpy"]
    assert not any(key.startswith("lengths") for _, key in rows)


def test_flat() -> None:
    document = {
        "a": {"b": 1, "c": [{"d": 2}, {"d": 3}]},
        "command": ["x", "y z"],
        "list": [1, 2],
        "none": None,
    }
    assert list(flat("p", document)) == [
        ("p", "a.b", 1),
        ("p", "a.c[0].d", 2),
        ("p", "a.c[1].d", 3),
        ("p", "command", "x 'y z'"),
        ("p", "list", "1, 2"),
        ("p", "none", None),
    ]
