"""A chat endpoint on this machine, with faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class FakeJudge:
    """What was asked, and what is answered: a grade by ``answer``, or the next of ``faults``.

    Attributes:
        answer: Words for a question.
        faults: Statuses that the next calls get; ``drop`` closes the connection.
        asked: Bodies of the calls that were answered.
        keys: Authorization headers.
    """

    answer: Callable[[str], str] = lambda _: "1"
    faults: list[int | str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def fake_judge(judge: FakeJudge) -> Iterator[FakeJudge]:
    """Serve it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with judge.lock:
                fault = judge.faults.pop(0) if judge.faults else 200
                judge.keys.append(self.headers["Authorization"])
                if fault == 200:
                    judge.asked.append(body)
            if fault == "drop":
                self.connection.close()
                return
            document: dict[str, Any] = {"error": {"message": "no, thank you"}}
            if fault == 200:
                words = judge.answer(body["messages"][-1]["content"])
                document = {
                    "choices": [{"message": {"content": words}}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 2},
                }
            data = json.dumps(document).encode()
            self.send_response(int(fault))
            self.send_header("Content-Length", str(len(data)))
            if fault == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    judge.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield judge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
