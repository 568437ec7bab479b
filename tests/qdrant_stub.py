"""A Qdrant REST server for tests: the client's own in-memory engine behind HTTP, with faults on demand.

    with qdrant_stub(api_key="secret") as stub:
        stub.fault("503", "429:0")                    # the next two writes of points
        stub.fault("drop-after", number=7)            # the seventh write of points, counted from now
        stub.fault("slow:0.5", on="GET /collections/[^/]+$", times=3)
        client = QdrantClient(url=stub.url)

Kinds of faults:

    400 401 403 404 413 500 502 503 ...   the status; 429 and 503 take a Retry-After: "429:2", "429:date"
    disk-full     500 in the words of the server
    drop-before   the connection ends before anything is applied
    drop-after    all is applied, the response is lost
    half          the first half of the points is applied, then the connection ends
    half-500      the same, with a response of 500
    slow:SECONDS  the answer is late
    html          200 with the page of a proxy
    redirect      301 of a proxy
    unindexed     400, a filter that strict mode does not allow

What the engine does not know, the stub keeps: the whole configuration as it was given and changed, payload
indexes, and the status (``stub.statuses["name"] = ["yellow", "red"]`` is answered in turn, then green;
``red-ok`` is a failed operation while the optimizer is well).

Run as a program it serves until it is killed: ``python tests/qdrant_stub.py [--discard] [--port N]``. With
``--discard`` it keeps of every point only id and hash, so that a client can be measured.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson
from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client.http.models import models as wire

LIMIT_BYTES = 32 * 2**20
"""What a server takes in one request, unless it is configured otherwise."""
WRITES = r"PUT /collections/[^/]+/points$"
DISK_FULL = "Service internal error: No space left on device: WAL buffer size exceeds available disk space"

UNINDEXED = (
    'Index required but not found for "year" of one of the following types: [keyword]. '
    "Help: Create an index for this key or use a different filter."
)


@dataclass(slots=True)
class Fault:
    """What happens to a request: the next ``times`` that match, or the ``number``-th (from 1) that does."""

    kind: str
    on: str = WRITES
    times: int = 1
    number: int | None = None
    seen: int = 0

    def takes(self, request: str) -> bool:
        if not self.times or not re.match(self.on, request):
            return False
        self.seen += 1
        if self.number is not None and self.seen != self.number:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Request:
    """One line of the log."""

    verb: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    status: int = 0

    @property
    def line(self) -> str:
        return f"{self.verb} {self.path}"


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(slots=True)
class QdrantStub:
    """The state of a server.

    Attributes:
        api_key: What requests must carry; None takes all.
        version: What the server says it is; that of the client, unless it is given.
        limit_bytes: Largest request; a larger one is answered with 400, as servers do (proxies say 413).
        answers_early: A request that is too large is answered unread, and the connection ends.
        limit_points: Most points of a write, and largest page of a scroll, as under strict mode.
        limit_rate: Points per minute that one request can hold at most, written or retrieved.
        discard: Keep of every point only its id and its hash.
        log: Every request; bodies only of small ones, so that memory stays flat.
        statuses: Statuses that a collection answers in turn before it is green.
        on_write: Called with the number of each write of points before it is applied (to kill a client).
    """

    api_key: str | None = None
    version: str = field(default_factory=lambda: installed("qdrant-client"))
    limit_bytes: int = LIMIT_BYTES
    answers_early: bool = False
    limit_points: int | None = None
    limit_rate: int | None = None
    discard: bool = False
    url: str = ""
    log: list[Request] = field(default_factory=list)
    statuses: dict[str, list[str]] = field(default_factory=dict)
    on_write: Callable[[int], None] = lambda number: None
    faults: list[Fault] = field(default_factory=list)
    writes: int = 0
    db: Any = None
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    discarded: dict[str, dict[int, str | None]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.db = QdrantClient(":memory:", force_disable_check_same_thread=True)

    def fault(self, *kinds: str, on: str = WRITES, times: int = 1, number: int | None = None) -> None:
        """Plan faults; each takes the next requests that match ``on`` and that no earlier fault took."""
        self.faults += [Fault(kind, on, times, number) for kind in kinds]

    def requests(self, pattern: str) -> list[Request]:
        """The requests whose ``VERB /path`` matches."""
        return [request for request in self.log if re.match(pattern, request.line)]

    def check_limits(self, document: Any) -> None:
        """In the words of a server."""
        points = len(document.get("points") or document.get("ids") or [])
        for size, name in (
            (len(document.get("points") or []), "upsert limit"),
            (document.get("limit"), "limit"),
        ):
            if self.limit_points is not None and size and size > self.limit_points:
                text = f'Limit exceeded {size} > {self.limit_points} for "{name}".'
                help = f'Help: Reduce the "{name}" parameter to or below {self.limit_points}.'
                raise Refused(400, f"Bad request: {text} {help}")
        if self.limit_rate is not None and points > self.limit_rate:
            text = "request larger than rate limiter capacity, please try to split your request"
            raise Refused(429, f"Rate limiting exceeded: Write rate limit exceeded, {text}")

    def keep_hashes(self, name: str, points: list[dict[str, Any]]) -> None:
        self.discarded[name].update((each["id"], each["payload"].get("point_sha256")) for each in points)

    def next_fault(self, request: str) -> str:
        with self.lock:
            return next((fault.kind for fault in self.faults if fault.takes(request)), "")


def _dump(value: Any) -> Any:
    if isinstance(value, list):
        return [_dump(each) for each in value]
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


def _parse(kind: Any, body: Any) -> Any:
    return TypeAdapter(kind).validate_python(body)


def _merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is not None:
            into[key] = deepcopy(value)


def _known(stub: QdrantStub, name: str) -> str:
    """The collection behind a name or an alias."""
    aliases = {alias.alias_name: alias.collection_name for alias in stub.db.get_aliases().aliases}
    name = aliases.get(name, name)
    if not stub.db.collection_exists(name):
        raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
    return name


def _answer(stub: QdrantStub, verb: str, path: str, query: dict[str, str], body: Any) -> Any:
    """The ``result`` of a request."""
    db = stub.db
    match verb, path.split("/")[1:]:
        case "GET", ["collections"]:
            return _dump(db.get_collections())
        case "GET", ["aliases"]:
            return _dump(db.get_aliases())
        case "POST", ["collections", "aliases"]:
            return db.update_collection_aliases(_parse(wire.ChangeAliasesOperation, body).actions)
        case "GET", ["collections", name, "exists"]:
            with suppress(Refused):
                return {"exists": bool(_known(stub, unquote(name)))}
            return {"exists": False}
        case "PUT", ["collections", name]:
            return _create(stub, unquote(name), body)
        case "DELETE", ["collections", name] if not stub.db.collection_exists(unquote(name)):
            return False
        case _, ["collections", name, *rest]:
            return _in_collection(stub, verb, _known(stub, unquote(name)), rest, query, body)
    raise Refused(404, f"the stub has no {verb} {path}")


def _create(stub: QdrantStub, name: str, body: Any) -> bool:
    if stub.db.collection_exists(name):
        raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
    wanted = _parse(wire.CreateCollection, body)
    stub.db.create_collection(
        name,
        vectors_config=wanted.vectors or {},
        sparse_vectors_config=wanted.sparse_vectors,
        **({"metadata": wanted.metadata} if getattr(wanted, "metadata", None) else {}),  # from 1.16
    )
    stub.given[name], stub.indexes[name], stub.discarded[name] = deepcopy(body), {}, {}
    if _before(stub, 1, 16):
        stub.given[name].pop("metadata", None)
    return True


def _in_collection(
    stub: QdrantStub, verb: str, name: str, rest: list[str], query: dict[str, str], body: Any
) -> Any:
    db = stub.db
    status = "completed" if query.get("wait") == "true" else "acknowledged"
    match verb, rest:
        case "GET", []:
            return _info(stub, name)
        case "PATCH", []:
            _change(stub, name, body)
            return True
        case "DELETE", []:
            for kept in (stub.given, stub.indexes, stub.discarded):
                kept.pop(name, None)  # type: ignore[attr-defined]
            return db.delete_collection(name)
        case "GET", ["aliases"]:
            return _dump(db.get_collection_aliases(name))
        case "PUT", ["vectors", vector]:
            return _create_vector(stub, name, vector, body, status)
        case "DELETE", ["vectors", vector]:
            db.delete_vector_name(name, vector)
            stub.given[name]["vectors"].pop(vector, None)
            return {"operation_id": 0, "status": status}
        case "PUT", ["index"]:
            schema = body["field_schema"]
            stub.indexes[name][body["field_name"]] = schema if isinstance(schema, dict) else {"type": schema}
            return {"operation_id": 0, "status": status}
        case "DELETE", ["index", key]:
            stub.indexes[name].pop(unquote(key), None)
            return {"operation_id": 0, "status": status}
        case "PUT", ["points"]:
            return _write(stub, name, body, status)
    return _points(stub, verb, name, rest, body, status)


def _create_vector(stub: QdrantStub, name: str, vector: str, body: Any, status: str) -> Any:
    if _before(stub, 1, 18):
        raise Refused(404, "")  # what a server says to a path that it does not know
    stub.db.create_vector_name(name, vector, _parse(wire.VectorNameConfig, body))
    kinds = stub.given[name]
    if "size" in (kinds.get("vectors") or {}):
        kinds["vectors"] = {"": kinds["vectors"]}  # the one that had no name
    if "dense" in body:
        kinds.setdefault("vectors", {})[vector] = body["dense"]
    else:
        (kinds.setdefault("sparse_vectors", {}))[vector] = body["sparse"]
    return {"operation_id": 0, "status": status}


def _points(stub: QdrantStub, verb: str, name: str, rest: list[str], body: Any, status: str) -> Any:
    db = stub.db
    match verb, rest:
        case "POST", ["points"] if stub.discard:
            hashes = stub.discarded[name]
            ids = [id for id in body["ids"] if id in hashes]
            return [{"id": id, "payload": {"point_sha256": hashes[id]}} for id in ids]
        case "POST", ["points"]:
            asked = _parse(wire.PointRequest, body)
            payload = True if asked.with_payload is None else asked.with_payload
            return _dump(
                db.retrieve(name, asked.ids, with_payload=payload, with_vectors=asked.with_vector or False)
            )
        case "POST", ["points", "count"]:
            if stub.discard:
                return {"count": len(stub.discarded[name])}
            return _dump(db.count(name, count_filter=_parse(wire.CountRequest, body).filter, exact=True))
        case "POST", ["points", "scroll"]:
            asked = _parse(wire.ScrollRequest, body)
            points, after = db.scroll(
                name,
                scroll_filter=asked.filter,
                limit=asked.limit or 10,
                offset=asked.offset,
                with_payload=True if asked.with_payload is None else asked.with_payload,
                with_vectors=asked.with_vector or False,
            )
            return {"points": _dump(points), "next_page_offset": after}
        case "PUT", ["points", "vectors"]:
            return _write_vectors(stub, name, body, status)
        case "POST", ["points", "delete"]:
            db.delete(name, _parse(wire.PointsSelector, body))
            return {"operation_id": 0, "status": status}
        case "POST", ["points", "query"]:
            return _query(stub, name, body)
        case "POST", ["points", "query", "batch"]:
            return [_query(stub, name, each) for each in body["searches"]]
    raise Refused(404, f"the stub has no {verb} /collections/{name}/{'/'.join(rest)}")


def _query(stub: QdrantStub, name: str, body: Any) -> Any:
    asked = _parse(wire.QueryRequest, body)
    return _dump(
        stub.db.query_points(
            name,
            query=asked.query,
            using=asked.using,
            prefetch=asked.prefetch,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
            search_params=asked.params,
            score_threshold=asked.score_threshold,
        )
    )


def _write(stub: QdrantStub, name: str, body: Any, status: str) -> Any:
    wanted = _parse(wire.PointsList if "points" in body else wire.PointsBatch, body)
    sizes = stub.db.get_collection(name).config.params.vectors or {}
    for point in getattr(wanted, "points", []):
        named = point.vector if isinstance(point.vector, dict) else {"": point.vector}
        for key, vector in named.items():
            params = sizes.get(key) if isinstance(sizes, dict) else sizes if key == "" else None
            if params is None and not isinstance(vector, wire.SparseVector):
                raise Refused(400, f"Wrong input: Not existing vector name error: {key}")
            if isinstance(vector, list) and not isinstance(vector[0], list) and len(vector) != params.size:
                raise Refused(
                    400,
                    f"Wrong input: Vector dimension error: expected dim: {params.size}, got {len(vector)}",
                )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ll]ocal mode.*")  # this is a stand-in, and knows it
        points = wanted.points if "points" in body else wanted.batch
        if points:
            stub.db.upsert(name, points)
    return {"operation_id": stub.writes, "status": status}


def _write_vectors(stub: QdrantStub, name: str, body: Any, status: str) -> Any:
    points = _parse(wire.UpdateVectors, body).points
    there = {each.id for each in stub.db.retrieve(name, [point.id for point in points])}
    for point in points:
        if point.id not in there:
            raise Refused(404, f"Not found: No point with id {point.id} found")
    stub.db.update_vectors(name, points)
    return {"operation_id": stub.writes, "status": status}


def _before(stub: QdrantStub, *version: int) -> bool:
    """Whether the server is older than a version."""
    return tuple(map(int, stub.version.split(".")[:2])) < version


def _change(stub: QdrantStub, name: str, body: Any) -> None:
    """PATCH: ``vectors`` and ``params`` merge into what was given; ``""`` is the vector without a name."""
    given, body = stub.given[name], deepcopy(body)
    metadata = body.pop("metadata", None) or {}
    if not _before(stub, 1, 16):  # an older server does not know the field, and says nothing
        kept = (given.get("metadata") or {}) | metadata
        given["metadata"] = {key: value for key, value in kept.items() if value is not None}
    for key, changes in (body.pop("vectors", None) or {}).items():
        _merge(given["vectors"] if key == "" else given["vectors"][key], changes)
    for key, value in (body.pop("params", None) or {}).items():
        given[key] = value
    if body.get("quantization_config") is not None:
        wanted = body.pop("quantization_config")
        given["quantization_config"] = None if wanted == "Disabled" else wanted
    _merge(given, body)


def _info(stub: QdrantStub, name: str) -> Any:
    """The configuration as it was given and changed, over the engine's."""
    info, given = _dump(stub.db.get_collection(name)), stub.given[name]
    config, params = info["config"], info["config"]["params"]
    _merge(config["hnsw_config"], given.get("hnsw_config") or {})
    _merge(config["optimizer_config"], given.get("optimizers_config") or {})
    for key in ("quantization_config", "strict_mode_config", "metadata"):
        if given.get(key) is not None:
            config[key] = given[key]
    for key in ("vectors", "sparse_vectors", "shard_number", "replication_factor", "on_disk_payload"):
        if given.get(key) is not None:
            params[key] = given[key]
    left = stub.statuses.get(name) or []
    info["status"] = left.pop(0) if left else "green"
    if info["status"].startswith("red"):
        info["optimizer_status"] = "ok" if info["status"] == "red-ok" else {"error": DISK_FULL}
        info["status"] = "red"
    if stub.discard:
        info["points_count"] = len(stub.discarded[name])
    info["payload_schema"] = {
        key: {"data_type": schema["type"], "params": schema, "points": info["points_count"]}
        for key, schema in stub.indexes[name].items()
    }
    return info


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: QdrantStub

    def log_message(self, *_: Any) -> None:
        pass

    def handle_request(self) -> None:
        stub = self.stub
        path, _, text = self.path.partition("?")
        query = {key: values[-1] for key, values in parse_qs(text).items()}
        length = int(self.headers.get("Content-Length") or 0)
        early = length > stub.limit_bytes and stub.answers_early
        body = b"x" * length if early else self.rfile.read(length)
        self.close_connection = self.close_connection or early
        kept = body if len(body) <= 4096 else b""
        request = Request(self.command, path, query, kept, dict(self.headers.items()))
        writes = bool(re.match(WRITES, request.line))
        with stub.lock:
            stub.log.append(request)
            stub.writes += writes
            number = stub.writes
        if writes:
            stub.on_write(number)
        fault = stub.next_fault(request.line)
        request.status = self.respond(request, body, fault) or 0

    def respond(self, request: Request, body: bytes, fault: str) -> int | None:
        stub = self.stub
        kind, _, detail = fault.partition(":")
        if stub.api_key is not None and request.headers.get("api-key") != stub.api_key:
            must = "Must provide an API key or an Authorization bearer token"
            text = "Invalid API key or JWT" if "api-key" in request.headers else must
            return self.send(401, text.encode(), {"Content-Type": "text/plain"})  # as servers do
        if len(body) > stub.limit_bytes:
            size, limit = len(body), stub.limit_bytes
            text = f"JSON payload ({size} bytes) is larger than allowed (limit: {limit} bytes)."
            return self.refuse(400, f"Payload error: {text}")
        if kind == "slow":
            time.sleep(float(detail))
        if kind == "disk-full":
            return self.refuse(500, DISK_FULL)
        if kind == "html":
            return self.send(
                200, b"<html><body>Welcome to nginx!</body></html>", {"Content-Type": "text/html"}
            )
        if kind == "unindexed":
            return self.refuse(400, f"Bad request: {UNINDEXED}")
        if kind == "redirect":
            return self.send(301, b"<html>", {"Location": "https://elsewhere.example/"})
        if kind.isdigit():
            after = formatdate(time.time() + 1, usegmt=True) if detail == "date" else detail
            return self.refuse(
                int(kind), f"asked to fail with {kind}", {"Retry-After": after} if after else {}
            )
        if kind == "drop-before":
            return self.drop()
        try:
            result = self.apply(request, body, half=kind.startswith("half"))
        except Refused as refused:
            return self.refuse(refused.code, refused.text)
        except Exception as error:
            return self.refuse(400, f"Wrong input: {type(error).__name__}: {error}"[:500])
        if kind in ("drop-after", "half"):
            return self.drop()
        if kind == "half-500":
            return self.refuse(500, "Service internal error: 1 of 2 shards failed")
        return self.send(200, json.dumps(result).encode())

    def apply(self, request: Request, body: bytes, *, half: bool) -> Any:
        stub = self.stub
        if request.path in ("", "/"):
            return {"title": "qdrant - vector search engine", "version": stub.version}
        with stub.lock:
            if stub.discard and re.match(WRITES, request.line):
                stub.keep_hashes(unquote(request.path.split("/")[2]), orjson.loads(body)["points"])
                return {"result": {"operation_id": 0, "status": "completed"}, "status": "ok", "time": 0.0}
            document = json.loads(body) if body else {}
            stub.check_limits(document)
            if half and "points" in document:
                document["points"] = document["points"][: len(document["points"]) // 2]
            result = _answer(stub, request.verb, request.path, request.query, document)
        return {"result": result, "status": "ok", "time": 0.0}

    def refuse(self, code: int, text: str, headers: dict[str, str] | None = None) -> int:
        return self.send(code, json.dumps({"status": {"error": text}, "time": 0.0}).encode(), headers)

    def drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.close()

    def send(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> int:
        with suppress(OSError):  # the client was killed
            self.send_response(code)
            fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
            for key, value in fields.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)
        return code

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_request  # noqa: N815


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is nothing to report."""


@contextmanager
def qdrant_stub(
    stub: QdrantStub | None = None, *, port: int = 0, certificate: Path | None = None, **settings: Any
) -> Iterator[QdrantStub]:
    """Serve on loopback, on a free port unless ``port`` names one; ``settings`` are those of ``QdrantStub``.

    With a ``certificate``, a file that holds its key too, it is https.

    Serving an old ``stub`` again on its old port is a server that comes back with its data.
    """
    stub = QdrantStub(**settings) if stub is None else stub
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"stub": stub}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    stub.url = f"http{'s' * (certificate is not None)}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until killed; prints the URL."""
    parser = argparse.ArgumentParser(description="A Qdrant server for tests and measurements.")
    parser.add_argument("--port", type=int, default=0, help="Port.  [default: a free one]")
    parser.add_argument("--discard", action="store_true", help="Keep ids and hashes only.")
    parser.add_argument("--api-key", help="What requests must carry.")
    arguments = parser.parse_args()
    settings = {"discard": arguments.discard, "api_key": arguments.api_key}
    with qdrant_stub(port=arguments.port, **settings) as stub:
        print(stub.url, flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
