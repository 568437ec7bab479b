"""What a run ran on."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson
import pytest

from qembed import __version__
from qembed.store import environment
from qembed.store.environment import git_commit, installation


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_versions_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/where/qembed", "embed", "größe/"])
    found = environment()
    assert found["qembed"] == __version__
    assert found["libraries"]["torch"] == version("torch")
    assert all(found["libraries"].values())
    assert found["command"] == ["qembed", "embed", "größe/"]
    orjson.dumps(found)


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["qembed.store.environment"], "_LIBRARIES", ("no-such-library",))
    assert environment()["libraries"] == {"no-such-library": None}


def test_commit_clean_dirty_and_tagged(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "x")
    git(tmp_path, "tag", "-a", "v1", "-m", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_outside_git_and_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None


def test_a_git_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **options: float) -> None:
        raise subprocess.TimeoutExpired("git", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert git_commit(tmp_path) is None


COMMIT = "0123456789012345678901234567890123456789"


@pytest.mark.parametrize(
    ("direct", "found"),
    [
        (None, {"from": "index"}),
        (
            {"url": "https://host/o/qembed", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            {"from": "vcs", "vcs": "git", "commit": COMMIT, "url": "https://host/o/qembed"},
        ),
        (
            {"url": "file:///home/me/qembed", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            {"from": "vcs", "vcs": "git", "commit": COMMIT},
        ),
        (
            {"url": "https://host/q-1-py3-none-any.whl", "archive_info": {}},
            {"from": "archive", "url": "https://host/q-1-py3-none-any.whl"},
        ),
        (
            {"url": "file:///home/me/q-1-py3-none-any.whl", "archive_info": {}},
            {"from": "archive", "url": "q-1-py3-none-any.whl"},
        ),
        ({"url": "file:///home/me/q", "dir_info": {"editable": True}}, {"from": "folder", "commit": COMMIT}),
    ],
    ids=["index", "git", "local git", "wheel", "local wheel", "folder"],
)
def test_how_it_was_installed(
    monkeypatch: pytest.MonkeyPatch, direct: dict[str, Any] | None, found: dict[str, Any]
) -> None:
    class Installed(Distribution):
        def read_text(self, filename: str) -> str | None:
            assert filename == "direct_url.json"
            return direct and json.dumps(direct)

        def locate_file(self, path: object) -> Path:
            raise NotImplementedError

    monkeypatch.setattr(sys.modules["qembed.store.environment"], "distribution", lambda _: Installed())
    monkeypatch.setattr(sys.modules["qembed.store.environment"], "git_commit", lambda _: COMMIT)
    assert installation() == found


def test_sources_that_nobody_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(sys.modules["qembed.store.environment"], "distribution", absent)
    assert installation()["from"] == "none"


def test_how_this_one_was_installed() -> None:
    assert installation()["from"] in ("index", "vcs", "archive", "folder", "none")
    assert environment()["installation"] == installation()
