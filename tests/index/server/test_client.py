"""What failures of a server mean: the real client against a stub over HTTP."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import WRITES, QdrantStub, qdrant_stub

from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, QembedError, Unreachable, UsageError
from qembed.index.server.address import Address
from qembed.index.server.client import compare_versions, connect, version
from qembed.index.server.failures import explained, passing
from qembed.index.server.retry import Again, Patience, retrying

KEY = "a-very-secret-key"


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def address(stub: QdrantStub) -> Address:
    address = Address.of(stub.url, "docs")
    connect(address).create_collection(
        "docs", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    return address


def write(client: QdrantClient, vector: list[float] | None = None) -> None:
    client.upsert("docs", [models.PointStruct(id=1, vector=vector or [1.0, 2.0])], wait=True)


def test_talks_to_the_server(address: Address) -> None:
    client = connect(address)
    write(client)
    assert client.count("docs").count == 1


@pytest.mark.parametrize(
    ("said", "numbers"), [("1.18.3", (1, 18)), ("1.19.0-dev", (1, 19)), ("unknown", (0, 0))]
)
def test_the_version(stub: QdrantStub, said: str, numbers: tuple[int, int]) -> None:
    stub.version = said
    assert version(connect(Address.of(stub.url, "docs"))) == numbers


@pytest.mark.parametrize(("said", "told"), [(None, 0), ("1.2.0", 1), ("99.0.0", 1)])
def test_a_server_that_is_too_far_from_the_client_is_told(
    stub: QdrantStub, said: str | None, told: int
) -> None:
    stub.version = said or stub.version
    notes: list[str] = []
    compare_versions(connect(Address.of(stub.url, "docs")), notes.append)
    assert len(notes) == told


@pytest.mark.parametrize(
    ("fault", "kind", "exit_code", "words"),
    [
        ("401", Unreachable, 4, "QDRANT_API_KEY"),
        ("403", Unreachable, 4, "QDRANT_API_KEY"),
        ("429:0", Unreachable, 4, "429"),
        ("429", Unreachable, 4, "429"),
        ("429:date", Unreachable, 4, "429"),
        ("503", Unreachable, 4, "not available"),
        ("drop-before", Unreachable, 4, "cannot be reached"),
        ("drop-after", Unreachable, 4, "cannot be reached"),
        ("half", Unreachable, 4, "cannot be reached"),
        ("html", Unreachable, 4, "REST API"),
        ("disk-full", QembedError, 1, "make room on the server"),
        ("413", Mismatch, 5, "too large"),
        ("400", Mismatch, 5, "asked to fail with 400"),
        ("507", QembedError, 1, "make room on the server"),
        ("unindexed", Mismatch, 5, "--index-field"),
        ("redirect", Unreachable, 4, "https://elsewhere.example/"),
    ],
)
def test_a_failure_has_a_meaning(
    stub: QdrantStub, address: Address, fault: str, kind: type[QembedError], exit_code: int, words: str
) -> None:
    stub.fault(fault)
    client = connect(address)
    with pytest.raises(kind) as failed, explained(address, client):
        write(client)
    assert failed.value.exit_code == exit_code
    assert words in str(failed.value)
    assert failed.value.where


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        ("429:7", 7.0),
        ("429", None),
        ("429:date", None),  # the client cannot read it
        ("503:3", 3.0),
        ("503:date", 0.0),
        ("502", None),
        ("drop-before", None),
    ],
)
def test_what_may_pass(stub: QdrantStub, address: Address, fault: str, after: float | None) -> None:
    stub.fault(fault)
    with pytest.raises(Exception) as failed:
        write(connect(address))
    again = passing(failed.value)
    assert again is not None
    assert (
        again.after_seconds == pytest.approx(after, abs=1.1)
        if after is not None
        else again.after_seconds is None
    )


@pytest.mark.parametrize("fault", ["401", "400", "413", "disk-full", "html"])
def test_what_does_not_pass(stub: QdrantStub, address: Address, fault: str) -> None:
    stub.fault(fault)
    with pytest.raises(Exception) as failed:
        write(connect(address))
    assert passing(failed.value) is None


def test_retries_go_on_until_it_works(stub: QdrantStub, address: Address) -> None:
    stub.fault("503", "429:0", "drop-after", "half")
    client = connect(address)
    told: list[Again] = []
    patience = Patience(60, 0.001, 0.01)
    retrying(
        lambda: write(client), passing=passing, patience=patience, retry=lambda again, _: told.append(again)
    )
    assert len(told) == 4
    assert len(stub.requests(WRITES)) == 5
    assert client.count("docs").count == 1


def test_giving_up_says_how_often_and_how_long(stub: QdrantStub, address: Address) -> None:
    stub.fault("503", times=99)
    client = connect(address)
    with (
        pytest.raises(Unreachable, match=r"tried \d+ times in 0 s and still fails: 503") as failed,
        explained(address),
    ):
        retrying(lambda: write(client), passing=passing, patience=Patience(0.05, 0.01, 0.01))
    assert "it resumes" in str(failed.value)


def test_another_dimension_is_a_mismatch(address: Address) -> None:
    client = connect(address)
    with pytest.raises(DimensionMismatch, match="vectors of 2 dimensions, these have 3"), explained(address):
        write(client, [1.0, 2.0, 3.0])


def test_a_missing_collection_names_those_that_exist(address: Address) -> None:
    client = connect(address)
    elsewhere = Address(address.url, "dosc")
    with pytest.raises(InputNotFound, match="'dosc'") as failed, explained(elsewhere, client):
        client.get_collection("dosc")
    assert "it has docs" in str(failed.value)


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address.of(f"http://127.0.0.1:{free.getsockname()[1]}", "docs")
    client = connect(address)
    with pytest.raises(Unreachable, match="cannot be reached") as failed, explained(address):
        client.get_collections()
    assert f"curl {address.url}/readyz" in str(failed.value)


@pytest.mark.parametrize("url", ["http://a b", "http://[1", "http://h:99999", "http://\x00"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(UsageError) as failed:
        connect(Address.of(url, "docs")).get_collections()
    assert failed.value.exit_code == 2


def test_no_answer_in_time(stub: QdrantStub, address: Address) -> None:
    stub.fault("slow:1.5")
    client = connect(address, timeout_seconds=1)
    with pytest.raises(Unreachable, match="no answer in time"), explained(address):
        write(client)


def test_https_to_a_server_without_it(stub: QdrantStub) -> None:
    address = Address.of(stub.url.replace("http:", "https:"), "docs")
    client = connect(address)
    with pytest.raises(Unreachable, match="no encrypted connection") as failed, explained(address):
        client.get_collections()
    cause = failed.value.__cause__
    assert isinstance(cause, Exception)
    assert passing(cause) is None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed, with its key, in one file."""
    if which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    line = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {file} -days 2 -subj /CN=localhost"
    subprocess.run(
        [*line.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60
    )
    file.write_text(file.read_text() + key.read_text())
    return file


def test_certificates_are_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with qdrant_stub(certificate=certificate) as stub:
        address = Address.of(stub.url, "docs")
        assert address.url.startswith("https://")
        client = connect(address)
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as failed, explained(address):
            client.get_collections()
        assert "SSL_CERT_FILE" in str(failed.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert connect(address).get_collections().collections == []


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    with qdrant_stub(api_key=KEY) as stub:
        address = Address.of(stub.url, "docs")
        client = connect(address)
        assert client.get_collections().collections == []
        monkeypatch.setenv("QDRANT_API_KEY", KEY + "-wrong")
        with pytest.raises(Unreachable, match="the API key is refused") as failed, explained(address):
            connect(address).get_collections()
        assert "(401: Invalid API key or JWT)" in str(failed.value)
        monkeypatch.delenv("QDRANT_API_KEY")
        with pytest.raises(Unreachable, match="requires an API key"), explained(address):
            connect(address).get_collections()
    assert KEY not in f"{client!r} {address!r} {failed.value!r} {failed.value}"


def test_a_key_that_was_typed_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    with qdrant_stub(api_key=KEY) as stub:
        address = Address.of(stub.url, "docs")
        with pytest.raises(Unreachable, match="the API key is refused"), explained(address):
            connect(address, api_key="another").get_collections()


def test_a_server_that_forbids_does_not_blame_the_key_alone(stub: QdrantStub, address: Address) -> None:
    """A server that is locked answers 403 too."""
    stub.fault("403")
    with (
        pytest.raises(Unreachable, match="the server forbids the request"),
        explained(address),
    ):
        write(connect(address))


def test_this_machine_is_reached_without_a_proxy(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(address).collection_exists("docs")


@pytest.mark.parametrize("name", ["docs#2", "50%25", "a b", "docs;a"])
@pytest.mark.parametrize("old", [False, True])
def test_a_name_reaches_its_own_collection(
    stub: QdrantStub, address: Address, monkeypatch: pytest.MonkeyPatch, name: str, old: bool
) -> None:
    """Clients before 1.20 escape nothing, so that what is for ``docs#2`` would go to ``docs``."""
    if old:
        from qdrant_client.http import api_client

        monkeypatch.setattr(api_client, "quote_path_params", lambda names: names, raising=False)
        monkeypatch.setattr("qembed.index.server.client._client_escapes", lambda: False)
    client = connect(Address.of(stub.url, name))
    client.create_collection(
        name, vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    assert {each.name for each in client.get_collections().collections} == {"docs", name}
    client.delete_collection(name)
    assert client.collection_exists("docs")
    assert not client.collection_exists(name)


@pytest.mark.parametrize("key", [KEY + "\nx", KEY + "é", KEY + "\x00"])
def test_a_key_that_no_header_holds_is_not_repeated(stub: QdrantStub, key: str) -> None:
    with pytest.raises(UsageError, match="no header can hold") as failed:
        connect(Address.of(stub.url, "docs"), api_key=key).get_collections()
    assert KEY not in f"{failed.value} {failed.value.__cause__} {failed.value.__context__}"


def test_blanks_around_a_key_do_not_count() -> None:
    with qdrant_stub(api_key=KEY) as stub:
        client = connect(Address.of(stub.url, "docs"), api_key=f" {KEY}\n")
        assert client.get_collections().collections == []


@pytest.mark.parametrize(
    ("url", "told"), [("http://a.example", 1), ("https://a.example", 0), ("http://127.0.0.1", 0)]
)
def test_a_key_that_travels_unencrypted_is_told(monkeypatch: pytest.MonkeyPatch, url: str, told: int) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    notes: list[str] = []
    connect(Address.of(url, "docs"), note=notes.append)
    assert len(notes) == told
    assert KEY not in str(notes)
