"""Work folders: published whole, resumed, shared by no two runs, and never somebody else's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qembed.errors import QembedError, UsageError
from qembed.store import publish, staging, work_folder, write_json
from qembed.store.work import MARKER, check_published

REPOSITORY = Path(__file__).parents[2]


def python(script: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, text=True, **pipes, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(error: BaseException, after: Callable[[], object]) -> None:
    after()
    raise error


class TestPublish:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        for name in "ab":
            (tmp_path / name).write_text("old")
        return tmp_path

    def test_all_files_at_once(self, old: Path) -> None:
        with work_folder(old, "docs") as work:
            for name in "ab":
                write_json(staging(work) / name, {})
                assert (old / name).read_text() == "old"
            publish(work)
        assert names(old) == ["a", "b"]
        assert {(old / name).read_text() for name in "ab"} == {"{}\n"}

    def test_an_error_before_leaves_the_old_ones(self, old: Path) -> None:
        with pytest.raises(ValueError, match="no"), work_folder(old, "docs") as work:
            fail(ValueError("no"), lambda: write_json(staging(work) / "a", {}))
        assert {(old / name).read_text() for name in "ab"} == {"old"}
        assert names(old) == ["a", "b"]

    def test_the_next_run_finishes_what_a_killed_one_began(self, old: Path) -> None:
        (old / ".docs.ready").mkdir()
        (old / ".docs.ready" / MARKER).touch()
        (old / ".docs.ready" / "b").write_text("new")
        with work_folder(old, "docs"):
            assert (old / "b").read_text() == "new"
        assert names(old) == ["a", "b"]

    def test_what_the_old_manifest_lists_goes_and_nothing_else(self, old: Path) -> None:
        (old / "foreign").write_text("mine")
        with work_folder(old, "docs") as work:
            (staging(work) / "a").write_text("new")
            publish(work, replaced=["a", "b", "../elsewhere", "absent"])
        assert names(old) == ["a", "foreign"]
        assert (old / "a").read_text() == "new"

    @pytest.mark.parametrize("calls", range(6))
    def test_killed_at_every_step_of_publishing(
        self, old: Path, monkeypatch: pytest.MonkeyPatch, calls: int
    ) -> None:
        """The first rename decides: before it the old set stands, after it the next run completes the new."""
        done = 0

        def die(original: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **options: Any) -> Any:
                nonlocal done
                if done == calls:
                    raise KeyboardInterrupt  # as far as the files go, a kill: nothing is tidied below
                done += 1
                return original(*arguments, **options)

            return step

        (old / "keep").write_text("mine")
        with suppress(KeyboardInterrupt), work_folder(old, "docs") as work:
            for name in ("a", "new"):
                (staging(work) / name).write_text("new")
            for name in ("replace", "unlink", "rmdir"):
                monkeypatch.setattr(Path, name, die(getattr(Path, name)))
            monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
            publish(work, replaced=["a", "b"])
        monkeypatch.undo()
        assert done == calls
        committed = (old / ".docs.ready").exists() or (old / "new").exists()
        if (old / ".docs.ready").exists():
            with pytest.raises(UsageError, match="has not finished writing"):
                check_published(old, "docs")
        with work_folder(old, "docs"):
            check_published(old, "docs")
            files = {path.name: path.read_text() for path in old.iterdir() if path.is_file()}
        files.pop(".docs.lock")
        new = {"a": "new", "new": "new", "keep": "mine"}
        assert files == (new if committed else {"a": "old", "b": "old", "keep": "mine"})
        assert committed == (calls > 0)


class TestForeign:
    """What stands in the way of a work folder and was not made here: refused, and not a byte touched."""

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Path:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        for name in ("journal.json", "thesis.txt", MARKER):
            (folder / name).write_text("precious")
        return folder

    @pytest.mark.parametrize("name", [".docs.work", ".docs.ready"])
    def test_a_link(self, tmp_path: Path, elsewhere: Path, name: str) -> None:
        output = tmp_path / "out"
        output.mkdir()
        (output / name).symlink_to(elsewhere)
        with pytest.raises(UsageError, match="is a link or a file") as caught:
            work_folder(output, "docs").__enter__()
        assert "move it away" in str(caught.value.remedy)
        assert names(elsewhere) == [MARKER, "journal.json", "thesis.txt"]
        assert names(output) == [name]

    @pytest.mark.parametrize("name", [".docs.work", ".docs.ready"])
    def test_a_folder_of_the_users(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.json").write_text("{}")
        (tmp_path / name / "thesis.txt").write_text("precious")
        with pytest.raises(UsageError, match="was not made by qembed"):
            work_folder(tmp_path, "docs").__enter__()
        assert names(tmp_path / name) == ["journal.json", "thesis.txt"]

    @pytest.mark.parametrize("name", [".docs.work", ".docs.ready"])
    def test_a_folder_of_another_user(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / MARKER).touch()
        real = os.fstat
        other = os.stat_result([*real(0)[:4], 12345, *real(0)[5:10]])
        monkeypatch.setattr(os, "fstat", lambda _: other)
        with pytest.raises(UsageError, match="belongs to another user"):
            work_folder(tmp_path, "docs").__enter__()

    @pytest.mark.parametrize("kind", ["link", "full", "folder"])
    def test_a_lock_that_is_none(self, tmp_path: Path, elsewhere: Path, kind: str) -> None:
        lock = tmp_path / ".docs.lock"
        if kind == "link":
            lock.symlink_to(elsewhere / "thesis.txt")
        elif kind == "full":
            lock.write_text("precious")
        else:
            lock.mkdir()
        with pytest.raises(UsageError, match="is not a lock file"):
            work_folder(tmp_path, "docs").__enter__()
        assert lock.is_symlink() or lock.exists()
        assert (elsewhere / "thesis.txt").read_text() == "precious"

    def test_links_inside_are_not_followed(self, tmp_path: Path, elsewhere: Path) -> None:
        with work_folder(tmp_path, "docs") as work:
            (work / "journal.json").write_text("{}")
            (work / "vectors.f32").symlink_to(elsewhere / "thesis.txt")
            (work / "staged").symlink_to(elsewhere)
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == [MARKER, "journal.json"]
        assert names(elsewhere) == [MARKER, "journal.json", "thesis.txt"]

    def test_a_run_killed_before_its_folder_had_a_marker(self, tmp_path: Path) -> None:
        (tmp_path / ".docs.work").mkdir()
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == [MARKER]


class TestWorkFolder:
    def test_it_is_hidden_and_goes_afterwards(self, tmp_path: Path) -> None:
        output = tmp_path / "new" / "out"
        with work_folder(output, "docs") as work:
            assert work == output / ".docs.work"
            (work / "chunks.jsonl").write_text("x")
        assert names(output) == []

    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
    def test_it_goes_after_an_error(self, tmp_path: Path, error: BaseException) -> None:
        with pytest.raises(type(error)), work_folder(tmp_path, "docs") as work:
            fail(error, lambda: (work / "x").write_text("x"))
        assert names(tmp_path) == []

    def test_what_a_killed_run_left_is_removed_first(self, tmp_path: Path) -> None:
        (tmp_path / ".docs.work").mkdir()
        (tmp_path / ".docs.work" / MARKER).touch()
        (tmp_path / ".docs.work" / "vectors.f32").write_text("stale")
        (tmp_path / ".docs.lock").write_text("")
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == [MARKER]

    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nfrom qembed.store import work_folder\n"
            f"with work_folder(Path({str(tmp_path)!r}), 'docs'):\n"
            "    print('locked', flush=True)\n    sys.stdin.readline()\n"
        )
        child = python(script)
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(UsageError, match="another run is writing the collection 'docs'") as caught:
            work_folder(tmp_path, "docs").__enter__()
        assert caught.value.exit_code == 2
        assert caught.value.where == str(tmp_path)
        assert (tmp_path / ".docs.work").is_dir()  # the other run's folder is untouched
        with work_folder(tmp_path, "another"):
            pass
        child.communicate("\n", timeout=30)
        assert child.returncode == 0
        with work_folder(tmp_path, "docs"):
            pass
        assert names(tmp_path) == []

    def test_a_killed_run_holds_no_lock(self, tmp_path: Path) -> None:
        script = (
            "import os, signal\nfrom pathlib import Path\nfrom qembed.store import work_folder\n"
            f"with work_folder(Path({str(tmp_path)!r}), 'docs') as work:\n"
            "    (work / 'half').write_text('x')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        child = python(script)
        child.communicate(timeout=30)
        assert child.returncode == -signal.SIGKILL
        assert names(tmp_path) == [".docs.lock", ".docs.work"]
        with work_folder(tmp_path, "docs") as work:
            assert names(work) == [MARKER]
        assert names(tmp_path) == []

    @pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to(path.parent / "nowhere")])
    def test_an_output_that_is_no_folder(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        make(tmp_path / "out")
        with pytest.raises(UsageError, match="is not a folder") as caught:
            work_folder(tmp_path / "out", "docs").__enter__()
        assert caught.value.exit_code == 2

    def test_an_output_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(QembedError, match="cannot write: Not a directory"):
            work_folder(tmp_path / "file" / "out", "docs").__enter__()
