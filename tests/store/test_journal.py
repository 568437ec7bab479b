"""What an interrupted run leaves: taken up by the next, or refused by name, or thrown away; never mixed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from qembed.engine import Rows
from qembed.errors import OutputExists, QembedError
from qembed.store import (
    Journal,
    check_journal,
    discard,
    publish,
    read_journal,
    staging,
    work_folder,
    write_journal,
)
from qembed.store.work import MARKER

REPOSITORY = Path(__file__).parents[2]
IDENTITY = {
    "model": "owner/name",
    "revision": "abc",
    "weights_sha256": "0",
    "config_sha256": "1",
    "prompt": "",
    "max_tokens": 256,
    "dtype": "fp16",
    "dimension": 4,
    "normalized": True,
}
JOURNAL = Journal("inputs", 3, IDENTITY, {"token_budget": 2048, "max_batch": None}, cached=1)
KEPT = [MARKER, "cached.u8", "done.u32", "journal.json", "vectors.f32"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(work: Path) -> None:
    """As ``embed`` begins: rows, then the journal that makes them last."""
    Rows.create(work, 3, 4)
    (work / "cached.u8").touch()
    write_journal(work, JOURNAL)
    (work / "chunks.jsonl").touch()
    (work / "window-0.bin").touch()
    (staging(work) / "docs_embeddings.jsonl").touch()


class TestReading:
    def test_what_was_written(self, tmp_path: Path) -> None:
        write_journal(tmp_path, JOURNAL)
        assert read_journal(tmp_path) == JOURNAL

    def test_none(self, tmp_path: Path) -> None:
        assert read_journal(tmp_path) is None
        assert read_journal(tmp_path / "nowhere") is None

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0" * 300,
            b"[]",
            b'{"schema": "qembed.journal/1"}',
            json.dumps(asdict(JOURNAL)).encode()[:-20],
            json.dumps({**asdict(JOURNAL), "schema": "qembed.journal/2"}).encode(),
            json.dumps({**asdict(JOURNAL), "texts": "three"}).encode(),
        ],
    )
    def test_one_that_cannot_be_read_takes_its_rows_with_it(self, tmp_path: Path, content: bytes) -> None:
        """They would count as done, whoever made them."""
        with work_folder(tmp_path, "docs") as work:
            begin(work)
            (work / "journal.json").write_bytes(content)
        with work_folder(tmp_path, "docs") as work:
            (work / "chunks.jsonl").touch()
            assert read_journal(work) is None
            assert names(work) == [MARKER, "chunks.jsonl"]
        assert names(tmp_path) == []


class TestChecking:
    def test_the_same(self) -> None:
        check_journal(JOURNAL, replace(JOURNAL, plan={}, cached=0), Path("out"))

    @pytest.mark.parametrize("key", IDENTITY)
    def test_every_field_is_named(self, key: str) -> None:
        wanted = replace(JOURNAL, identity={**IDENTITY, key: "other"})
        with pytest.raises(OutputExists) as caught:
            check_journal(JOURNAL, wanted, Path("out"))
        assert caught.value.message.endswith(f": {key} was {IDENTITY[key]!r}, now 'other'")
        assert caught.value.where == "out"
        assert "--force" in str(caught.value.remedy)
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize(("found", "now"), [({"new": 1}, {}), ({}, {"new": 1})])
    def test_a_field_that_only_one_of_them_has(self, found: dict[str, Any], now: dict[str, Any]) -> None:
        first, second = (replace(JOURNAL, identity=IDENTITY | more) for more in (found, now))
        with pytest.raises(OutputExists, match=r"new was (1|None), now (1|None)"):
            check_journal(first, second, Path("out"))

    def test_all_at_once(self) -> None:
        wanted = replace(JOURNAL, inputs="other", identity={**IDENTITY, "dtype": "fp32", "prompt": "q: "})
        with pytest.raises(OutputExists) as caught:
            check_journal(JOURNAL, wanted, Path("out"))
        assert "prompt was '', now 'q: '; dtype was 'fp16', now 'fp32'; the chunks" in caught.value.message
        assert "(then 3 unique texts)" in caught.value.message

    def test_another_number_of_texts(self) -> None:
        with pytest.raises(OutputExists, match="the chunks have changed"):
            check_journal(JOURNAL, replace(JOURNAL, texts=4), Path("out"))


class TestWorkFolder:
    @pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt()])
    def test_with_a_journal_rows_are_kept_and_nothing_else(
        self, tmp_path: Path, error: BaseException | None
    ) -> None:
        with suppress(ValueError, KeyboardInterrupt), work_folder(tmp_path, "docs") as work:
            begin(work)
            if error:
                raise error
        assert names(tmp_path) == [".docs.work"]
        assert names(tmp_path / ".docs.work") == KEPT
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == KEPT
            assert read_journal(work) == JOURNAL

    def test_what_a_killed_run_left_beside_them_goes_first(self, tmp_path: Path) -> None:
        work = tmp_path / ".docs.work"
        work.mkdir()
        (work / MARKER).touch()
        begin(work)
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == KEPT

    def test_published_work_leaves_nothing(self, tmp_path: Path) -> None:
        with work_folder(tmp_path, "docs") as work:
            begin(work)
            publish(work)
        assert names(tmp_path) == ["docs_embeddings.jsonl"]

    def test_a_run_that_was_killed_between_publishing_and_tidying(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before the files have their names, and after: the journal must not outlive them for long."""
        for step in ("_finish", "discard"):
            output = tmp_path / step
            kill = f"qembed.store.work.{step} = lambda work: os.kill(os.getpid(), signal.SIGKILL)"
            script = (
                "import os, signal\nfrom pathlib import Path\nimport qembed.store.work\n"
                "from qembed.store import Journal, publish, staging, work_folder, write_journal\n"
                f"with work_folder(Path({str(output)!r}), 'docs') as work:\n"
                "    (work / 'vectors.f32').write_text('x')\n"
                "    write_journal(work, Journal('inputs', 1, {}, {}))\n"
                "    (staging(work) / 'docs_embeddings.jsonl').write_text('new')\n"
                f"    {kill}\n    publish(work)\n"
            )
            child = subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                timeout=60,
                check=False,
            )
            assert child.returncode == -signal.SIGKILL
            with work_folder(output, "docs") as work:
                assert (output / "docs_embeddings.jsonl").read_text() == "new"
                if step == "_finish":
                    assert names(work) == [MARKER]
                else:  # nothing says that it was published: who finds the output complete discards it
                    assert names(work) == [MARKER, "journal.json", "vectors.f32"]
                    discard(work)
            assert names(output) == ["docs_embeddings.jsonl"]

    def test_discarding_removes_the_journal_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half-removed rows with a journal would be taken up."""
        seen: list[list[str]] = []
        with work_folder(tmp_path, "docs") as work:
            begin(work)
            monkeypatch.setattr(shutil, "rmtree", lambda path, **_: seen.append(names(path)))
            discard(work)
            monkeypatch.undo()
        assert "journal.json" not in seen[0]
        assert "vectors.f32" in seen[0]
        assert names(tmp_path) == []

    def test_a_disk_that_is_full_keeps_the_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with work_folder(tmp_path, "docs") as work:
            begin(work)
        with work_folder(tmp_path, "docs") as work:
            monkeypatch.setattr(os, "fsync", full)
            with pytest.raises(QembedError, match="No space left"):
                write_journal(work, replace(JOURNAL, cached=2))
            monkeypatch.undo()
        with work_folder(tmp_path, "docs") as work:
            assert read_journal(work) == JOURNAL
            assert names(work) == KEPT
