"""A worker process, as seen from inside: load, say so, then tasks in and results out."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias

from qembed.engine.workers.messages import Broken, Dying, Task
from qembed.engine.workers.oom import first_line, is_device_lost
from qembed.engine.workers.worker import Worker
from qembed.errors import QembedError

PIPELINE_TASKS = 2
"""Forward passes begun before the first is waited for: a GPU computes one while the next is prepared."""

Inbox: TypeAlias = "SimpleQueue[Task | None]"


def serve(connection: Connection, device: str, spec: bytes, tight: bool) -> None:
    """The main function of a worker process; ends after None, or at once when the main process is gone.

    Args:
        connection: To the main process.
        device: What the worker is called.
        spec: A pickled ``WorkerSpec``; what it names is imported here, where errors can be told.
        tight: Memory is scarce: torch is told to waste none on fragments. It reads that when it is imported.
    """
    if tight:
        _waste_no_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to deal with
    with suppress(OSError):
        os.dup2(2, 1)  # what libraries print must not land in the data on stdout
    inbox: Inbox = SimpleQueue()
    Thread(target=_receive, args=(connection, inbox), name="qembed inbox", daemon=True).start()
    try:
        worker = Worker(pickle.loads(spec))  # noqa: S301 - from the process that started this one
        gc.freeze()  # later collections, after batches that did not fit, pass over the libraries
        _send(connection, worker.ready)
        _work_off(inbox, worker, partial(_send, connection))
    except Exception as error:
        if is_device_lost(error):
            _send(connection, Dying(first_line(error)))
            os._exit(1)  # an orderly end would call the device again
        _send(connection, Broken(_that_travels(error, device), traceback.format_exc()))


def _waste_no_memory() -> None:
    """Segments that grow instead of fixed ones, unless the user has said how torch is to allocate."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the second up to torch 2.8
    if not any(os.environ.get(name) for name in names):
        major, minor = version("torch").split(".")[:2]
        old = (int(major), int(minor)) < (2, 9)
        os.environ[names[old]] = "expandable_segments:True"


def _send(connection: Connection, message: object) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # ``_receive`` sees that too
        connection.send(message)


def _receive(connection: Connection, inbox: Inbox) -> None:
    """Take in tasks as they come, so that the main process never waits for a worker to read.

    The end of the input means that the main process is gone, or has no use for this one: end, whatever the
    rest of the process is doing. Nothing is lost: rows that are half written do not count.
    """
    with suppress(EOFError, OSError):
        while True:
            inbox.put(connection.recv())
    os._exit(0)


def _work_off(inbox: Inbox, worker: Worker, send: Callable[[object], None]) -> None:
    more = True
    while more or worker.in_flight:
        wants = more and worker.in_flight < PIPELINE_TASKS
        if wants and not (worker.in_flight and inbox.empty()):
            task = inbox.get()
            if task is None:
                more = False
            else:
                worker.start(task)
        else:
            send(worker.finish())


def _that_travels(error: Exception, device: str) -> QembedError:
    """The error itself where qembed raised it and it survives the way to the main process."""
    if isinstance(error, QembedError):
        with suppress(Exception):
            if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - made here
                return error
    return QembedError(
        f"the worker on {device} failed: {type(error).__name__}: {first_line(error)}",
        remedy="what is finished is kept: the same command resumes there; --debug shows the traceback",
    )
