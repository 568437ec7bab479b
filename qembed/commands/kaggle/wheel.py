"""A wheel of the qembed that is running, made from its files: no build tools and no network are needed.

Compiled kernels are left out: they are for CPUs with AVX-512, and another machine may have another.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from io import StringIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import qembed
from qembed.errors import QembedError
from qembed.store.atomic import atomic_file

DISTRIBUTION = "qembed-toolkit"
_LEFT_OUT = {".so", ".pyd", ".pyc"}
_WHEEL = "Wheel-Version: 1.0\nGenerator: qembed kaggle bundle\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_COMMANDS = "[console_scripts]\nqembed = qembed.cli:main\n"


def write_wheel(folder: Path) -> Path:
    """Write ``qembed_toolkit-VERSION-py3-none-any.whl`` (the binary distribution format, PEP 427).

    Args:
        folder: Where to; it is there.

    Raises:
        QembedError: This qembed was not installed by pip, so nobody knows what it depends on.
    """
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise QembedError(
            f"this qembed is not an installed {DISTRIBUTION}, so no wheel can be made of it",
            remedy="install it: pip install . in its folder; or give a wheel with --wheel",
        ) from None
    name = f"{DISTRIBUTION.replace('-', '_')}-{installed.version}"
    metadata = installed.read_text("METADATA") or ""
    entry_points = installed.read_text("entry_points.txt") or _COMMANDS
    information = f"{name}.dist-info"
    records = StringIO()
    path = folder / f"{name}-py3-none-any.whl"
    with atomic_file(path) as file, ZipFile(file, "w", ZIP_DEFLATED) as wheel:

        def add(inside: str, content: bytes) -> None:
            wheel.writestr(inside, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            records.write(f"{inside},sha256={digest},{len(content)}\n")

        for source, inside in _files():
            add(inside, source.read_bytes())
        add(f"{information}/METADATA", metadata.encode())
        add(f"{information}/WHEEL", _WHEEL.encode())
        add(f"{information}/entry_points.txt", entry_points.encode())
        records.write(f"{information}/RECORD,,\n")
        wheel.writestr(f"{information}/RECORD", records.getvalue())
    return path


def _files() -> list[tuple[Path, str]]:
    """Files of the package, and the eval sets that lie beside it in a checkout."""
    package = Path(qembed.__file__).parent
    folders = {package: "qembed"}
    beside = package.parent / "eval_sets"
    if not (package / "eval_sets").is_dir() and beside.is_dir():
        folders[beside] = "qembed/eval_sets"
    return sorted(
        (path, f"{inside}/{path.relative_to(folder).as_posix()}")
        for folder, inside in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _LEFT_OUT and "__pycache__" not in path.parts
    )
