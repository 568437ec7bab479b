"""The other side of ``peers.py``: one peer in a process of its own, perhaps in another virtual environment.

Runs as ``python peer_worker.py ADAPTERS.py CLASS`` and answers JSON lines on stdin with JSON lines on stdout:

    {"do": "load", "model": FOLDER, "exports": FOLDER, "texts": FILE, "options": {...}} -> {"versions": {...}}
    {"do": "configure", "settings": {...}}                                              -> {}
    {"do": "encode", "start": 0, "stop": 100, "save": FILE or null}                     -> {"seconds": 1.5}

and ends with its stdin. An error is answered as {"error": ..., "missing": the module that is not installed}.
Imports nothing but the standard library, so that it runs beside any peer's versions of anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any


class Session:
    """One loaded peer and the texts that it is asked to encode."""

    def __init__(self, adapter_class: Any) -> None:
        self.adapter_class = adapter_class
        self.adapter: Any = None
        self.texts: list[str] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request asks; only ``encode`` is timed."""
        if request["do"] == "load":
            self.texts = json.loads(Path(request["texts"]).read_text(encoding="utf-8"))
            folders = Path(request["model"]), Path(request["exports"])
            self.adapter = self.adapter_class(*folders, **request["options"])
            return {"versions": versions(self.adapter_class.packages)}
        if request["do"] == "configure":
            self.adapter.configure(**request["settings"])
            return {}
        texts = self.texts[request["start"] : request["stop"]]
        started = perf_counter()
        vectors = self.adapter.encode(texts)
        seconds = perf_counter() - started
        if request["save"]:
            import numpy as np

            np.save(request["save"], np.asarray(vectors, dtype=np.float32))
        return {"seconds": seconds}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load_adapter(file: Path, name: str) -> Any:
    """The class ``name`` of a Python file."""
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[file.stem] = module  # spawned processes of a peer find it under this name
    specification.loader.exec_module(module)
    return getattr(module, name)


def main() -> None:
    """Answer requests until stdin ends."""
    # Libraries print to stdout; the answers keep a channel of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = Session(load_adapter(Path(sys.argv[1]), sys.argv[2]))
    for line in sys.stdin:
        try:
            answer = session.answer(json.loads(line))
        except Exception as error:  # a peer may fail in any way; the harness reports it
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            reason = str(error).strip().partition("\n")[0]
            answer = {"error": f"{type(error).__name__}: {reason}", "missing": missing}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
