"""Nothing that was read steers the terminal; data for programs keeps its content."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qembed
from qembed.terminal.output import Column, console, print_json, print_rows, say
from qembed.terminal.visible import escaped_json, visible

EVIL = {
    "escape": "\x1b[2J\x1b]52;c;cm0gLXJm\x07",
    "c1": "\x9b2J\x9d52;c;AA\x9c",
    "delete": "\x7f",
    "direction": "\u202egpj.exe\u2066\u061c",
    "carriage": "safe\rEVIL",
    "half": "\udcff",
}
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_steering_is_left_and_width_stays(text: str) -> None:
    shown = visible(text)
    assert not STEERS.search(shown)
    assert len(shown) == len(text.replace("\r\n", "\n"))
    assert visible(shown) == shown


@given(st.text())
def test_json_keeps_its_content(text: str) -> None:
    document = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(escaped_json(document)) == {"a": text}
    assert not STEERS.search(escaped_json(document))


@pytest.mark.parametrize("name", EVIL)
def test_every_way_to_the_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a{EVIL[name]}b"
    columns: list[Column[str]] = [Column("text", str)]
    say(text)
    say(text, err=True)
    print_rows(columns, [text])
    print_rows(columns, [text], "md")
    console().print(text, markup=False)
    console(stderr=True).print(text, markup=False)
    printed = capsys.readouterr()
    assert not STEERS.search(printed.out + printed.err)
    print_json({"text": text})
    printed = capsys.readouterr()
    assert not STEERS.search(printed.out)
    assert json.loads(printed.out) == {"text": text}


def test_search_and_inspect_show_chunks_that_steer(
    tmp_path: Path, run_cli: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "evil\x1b[31m"
    folder.mkdir()
    items = [{"text": f"same {''.join(list(EVIL.values())[:4])}"}] * 2
    (folder / "b\x9bad_chunks.json").write_text(json.dumps([*items, {"text": 7}]), encoding="utf-8")
    ran = run_cli(["inspect", tmp_path, "--collection", "c"])
    assert "\u241b[2J" in ran.out
    assert not STEERS.search(ran.out + ran.err)


def test_only_the_terminal_package_prints_unseen() -> None:
    """Everything else prints through ``say``, ``console`` and their kin."""
    for path in sorted(Path(qembed.__file__).parent.rglob("*.py")):
        if path.parent.name == "terminal":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) != "click.echo", f"{path}:{node.lineno}: use terminal.output.say"
