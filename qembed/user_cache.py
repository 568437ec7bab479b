"""Where qembed keeps what it may use again: measured capacities, models from wheels."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "QEMBED_CACHE"


def user_cache() -> Path:
    """``$QEMBED_CACHE``, or ``qembed`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. It need not exist."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qembed"
