"""Files appear whole or not at all: errors, a full disk, kill -9, and two runs at once."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from qembed.errors import QembedError
from qembed.store import atomic_file, explained, locked, write_json

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


class TestAtomicFile:
    def test_the_name_appears_only_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "a.json"
        with atomic_file(target) as file:
            file.write(b"whole")
            file.flush()
            assert not target.exists()
        assert target.read_bytes() == b"whole"
        assert names(tmp_path) == ["a.json"]

    def test_it_is_on_the_disk_before_it_takes_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        replace, fsync = Path.replace, os.fsync
        monkeypatch.setattr(os, "fsync", lambda number: (steps.append("fsync"), fsync(number))[1])
        monkeypatch.setattr(Path, "replace", lambda a, b: (steps.append("replace"), replace(a, b))[1])
        with atomic_file(tmp_path / "a") as file:
            file.write(b"x")
        assert steps == ["fsync", "replace"]

    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
    def test_an_error_inside_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, error: BaseException
    ) -> None:
        target = tmp_path / "a.json"
        target.write_bytes(b"old")
        with pytest.raises(type(error)) as caught, atomic_file(target) as file:
            fail(error, lambda: file.write(b"half"))
        assert caught.value is error
        assert target.read_bytes() == b"old"
        assert names(tmp_path) == ["a.json"]

    def test_the_unfinished_file_lies_in_the_same_folder(self, tmp_path: Path) -> None:
        work = tmp_path / "work"
        work.mkdir()
        with atomic_file(work / "a.json") as file:
            file.write(b"x")
            assert names(tmp_path) == ["work"]
            assert len(names(work)) == 1
            assert names(work) != ["a.json"]
        assert names(work) == ["a.json"]
        assert (work / "a.json").read_bytes() == b"x"

    def test_write_json(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a.json", {"größe": 1.5, "none": None})
        assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "größe": 1.5,\n  "none": null\n}\n'

    def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("mine")
        (tmp_path / f".a.{os.getpid()}.unfinished").symlink_to(tmp_path / "precious")
        with atomic_file(tmp_path / "a") as file:
            file.write(b"x")
        assert (tmp_path / "precious").read_text() == "mine"
        assert names(tmp_path) == ["a", "precious"]


class TestLocked:
    def test_many_writers_lose_nothing(self, tmp_path: Path) -> None:
        """Four processes add 25 lines each, by reading the whole file and writing it again."""
        target = tmp_path / "numbers"
        script = (
            "from pathlib import Path\nfrom qembed.store import atomic_file, locked\n"
            f"path = Path({str(target)!r})\n"
            "for _ in range(25):\n"
            "    with locked(path):\n"
            "        old = path.read_bytes() if path.exists() else b''\n"
            "        with atomic_file(path) as file:\n            file.write(old + b'x')\n"
        )
        children = [python(script) for _ in range(4)]
        for child in children:
            _, error = child.communicate(timeout=120)
            assert child.returncode == 0, error
        assert target.read_bytes() == b"x" * 100

    def test_it_waits_only_so_long(self, tmp_path: Path) -> None:
        with locked(tmp_path / "a"):
            held = FileLock(tmp_path / ".a.lock", is_singleton=False)
            assert not held.is_locked
            with (
                pytest.raises(QembedError, match="another program has been changing this file") as caught,
                locked(tmp_path / "a", seconds=0.1),
            ):
                pass
        assert caught.value.where == str(tmp_path / "a")
        with locked(tmp_path / "a", seconds=0.1):
            pass


class TestDiskFull:
    @pytest.mark.parametrize("where", ["fsync", "replace"])
    def test_no_space_at_the_last_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        target = tmp_path / "a.json"
        target.write_bytes(b"old")

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(*((os, "fsync", full) if where == "fsync" else (Path, "replace", full)))
        with (
            pytest.raises(QembedError, match="No space left on device") as caught,
            atomic_file(target) as file,
        ):
            file.write(b"new")
        monkeypatch.undo()
        assert caught.value.exit_code == 1
        assert caught.value.where == str(target)
        assert "make room or give another -o folder" in str(caught.value.remedy)
        assert target.read_bytes() == b"old"
        assert names(tmp_path) == ["a.json"]

    def test_a_real_limit(self, tmp_path: Path) -> None:
        """RLIMIT_FSIZE is a disk of 200 kB for every file."""
        (tmp_path / "a").write_bytes(b"old")
        script = LIMITED + (
            "from qembed.store import atomic_file\n"
            f"with atomic_file(Path({str(tmp_path / 'a')!r})) as file:\n"
            "    for _ in range(100): file.write(b'x' * 10_000)\n"
        )
        done = python("try:\n" + indent(script) + CAUGHT)
        out, error = done.communicate(timeout=60)
        assert done.returncode == 0, error
        assert out.startswith("1 cannot write: File too large\n")
        assert "next: make room" in out
        assert (tmp_path / "a").read_bytes() == b"old"
        assert names(tmp_path) == ["a"]

    @pytest.mark.parametrize(
        ("name", "action"),
        [
            ("spool", "spool = Spool(folder)\nfor _ in range(100): spool.append(chunk)"),
            ("spool-buffer", "spool = Spool(folder)\nfor _ in range(7): spool.append(small)\nspool[0]"),
            ("rows", "with explained(folder): Rows.create(folder, 1000, 100)"),
        ],
    )
    def test_the_work_files(self, tmp_path: Path, name: str, action: str) -> None:
        limit = 5_000 if name == "spool-buffer" else 200_000  # less than what stays in memory
        script = (
            LIMITED.replace("200_000", str(limit))
            + (
                "from qembed.records import Chunk, Place\n"
                "from qembed.engine import Rows\n"
                "from qembed.store import Spool, explained\n"
                f"folder = Path({str(tmp_path)!r})\n"
                "chunk = Chunk('id', 'x' * 10_000, {}, Place('p'))\n"
                "small = Chunk('id', 'x' * 1000, {}, Place('p'))\n"
            )
            + action
            + "\nprint('no error')\n"
        )
        done = python("try:\n" + indent(script) + CAUGHT)
        out, error = done.communicate(timeout=60)
        assert done.returncode == 0, error
        assert out.startswith("1 cannot write: File too large\n"), (out, error)

    def test_other_errors_are_not_explained_away(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="mine"), explained(tmp_path):
            raise ValueError("mine")

    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        """Root may write anywhere, so a file takes the folder's place."""
        (tmp_path / "file").write_text("")
        with pytest.raises(QembedError, match="Not a directory"), atomic_file(tmp_path / "file" / "a"):
            pass


LIMITED = """
import resource, signal
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
"""
CAUGHT = """
except BaseException as error:
    print(getattr(error, "exit_code", type(error).__name__), error)
"""


def indent(script: str) -> str:
    return "".join(f"    {line}\n" for line in script.splitlines())


class TestKill:
    def test_killed_at_random_moments_there_is_never_half_a_file(self, tmp_path: Path) -> None:
        """Twelve rounds: a child writes files of 2 MB under one name until it is killed."""
        target = tmp_path / "a"
        script = (
            "from itertools import count\nfrom pathlib import Path\nfrom qembed.store import atomic_file\n"
            "print('ready', flush=True)\n"
            "for number in count():\n"
            f"    with atomic_file(Path({str(target)!r})) as file:\n"
            "        for _ in range(20): file.write(bytes([65 + number % 26]) * 100_000)\n"
        )
        randomly = random.Random(1)
        seen = set()
        for _ in range(12):
            child = python(script)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(randomly.uniform(0, 0.12))
            os.kill(child.pid, signal.SIGKILL)
            child.communicate(timeout=30)
            if target.exists():
                content = target.read_bytes()
                assert len(content) == 2_000_000
                assert content == content[:1] * len(content)
                seen.add(content[:1])
            assert all(name == "a" or name.endswith(".unfinished") for name in names(tmp_path))
        assert seen  # some rounds lived long enough to finish a file
