"""``qembed corpus from-package``: what it prints and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qembed.cli import run

pytestmark = pytest.mark.usefixtures("word_tokenizer")


def test_the_table_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "from-package", "click", "-o", str(tmp_path / "out")]) == 0
    *table, _ = capsys.readouterr().out.splitlines()  # the last line names the folder, in whole
    assert table[1].split() == ["package", "version", "entries", "chunks", "tokens", "files", "seconds"]
    assert table[3].split()[0] == "click"
    assert max(map(len, table)) <= 80


def test_json_is_all_of_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert run(["corpus", "from-package", "click", "-o", str(output), "--max-tokens", "40", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["output"], document["collection"], document["max_tokens"]) == (
        str(output),
        "python_api",
        40,
    )
    (package,) = document["packages"]
    assert package["name"] == "click"
    assert all((output / file).is_file() for file in package["files"])
    assert document["findings"] == []


def test_what_could_not_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "halfpkg").mkdir()
    (tmp_path / "halfpkg/__init__.py").write_text("def f():\n    'F.'", encoding="utf-8")
    (tmp_path / "halfpkg/old.py").write_text("print 'hello'", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(["corpus", "from-package", "halfpkg", "-o", str(tmp_path / "out")]) == 0
    assert "1 x unparsable-module, e.g. halfpkg/old.py, line 1: not Python" in capsys.readouterr().err


def test_options_reach_the_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "out")
    command = [
        "corpus",
        "from-package",
        "click",
        "-o",
        output,
        "--exclude",
        "click.testing",
        "--collection",
        "c",
    ]
    assert run([*command, "--undocumented"]) == 0
    text = (tmp_path / "out/click/click_chunks.json").read_text(encoding="utf-8")
    assert '"chunk_id": "c:click:click.echo:chunk:0"' in text
    assert not (tmp_path / "out/click/click.testing_chunks.json").exists()
    assert run(command) == 2
    assert run([*command, "--force"]) == 0
    assert len((tmp_path / "out/click/click_chunks.json").read_text(encoding="utf-8")) < len(text)
    assert "--collection c" in capsys.readouterr().err


def test_a_distribution_name_gets_the_import_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "from-package", "qdrant-client", "-o", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "next:  qembed corpus from-package qdrant_client" in captured.err


def test_help_has_an_example_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from qembed.cli import run; run(['corpus', 'from-package', '--help']); "
        "print(sorted({'griffe', 'torch', 'numpy', 'transformers'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "  qembed corpus from-package click rich -o python_api\n" in done.stdout
    assert done.stderr == "[]\n"
