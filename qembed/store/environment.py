"""What a run ran on: versions, platform, git commit, command line. Recorded so that it can be repeated."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from qembed import __version__

_LIBRARIES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "orjson",
)


DISTRIBUTION = "qembed-toolkit"
"""What pip calls this package; ``qembed`` is a stranger's."""


def environment() -> dict[str, Any]:
    """Versions of Python, qembed and the libraries that decide a vector; git commit where there is one."""
    return {
        "qembed": __version__,
        "installation": installation(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "git_commit": git_commit(Path.cwd()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def installation() -> dict[str, Any]:
    """How this qembed was installed, by PEP 610's ``direct_url.json``.

    ``from`` is ``index``, ``vcs``, ``archive``, ``folder``, or ``none`` where the sources are not installed.
    ``commit`` is that of the repository, with ``-dirty`` where files differ from it. ``url`` is never a path
    of this machine, which would mean nothing on another: of a local archive it is the file's name.
    """
    try:
        direct = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {"from": "none", "commit": git_commit(Path(__file__).parent)}
    if direct is None:
        return {"from": "index"}
    found = json.loads(direct)
    url = str(found["url"])
    if "vcs_info" in found:
        known = {"from": "vcs", "vcs": found["vcs_info"]["vcs"], "commit": found["vcs_info"]["commit_id"]}
    elif "archive_info" in found:
        return {"from": "archive", "url": url.rpartition("/")[2] if url.startswith("file:") else url}
    else:
        return {"from": "folder", "commit": git_commit(Path(__file__).parent)}
    return known if url.startswith("file:") else {**known, "url": url}


def git_commit(folder: Path) -> str | None:
    """The commit checked out around ``folder``, with ``-dirty`` where files differ; None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
