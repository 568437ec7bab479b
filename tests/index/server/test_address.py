"""Addresses of collections: what is read, what is refused, and that a secret is never repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.index.server.address import Address, is_address, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("qdrant://localhost/docs", Address("http://localhost:6333", "docs")),
        ("qdrant://localhost:1234/docs#text", Address("http://localhost:1234", "docs", "text")),
        ("qdrant+https://a.example/docs/", Address("https://a.example:6333", "docs")),
        ("qdrant+https://a.example:443/behind/docs", Address("https://a.example:443/behind", "docs")),
        ("qdrant://[::1]/my%20docs%2F2", Address("http://[::1]:6333", "my docs/2")),
    ],
)
def test_reads(text: str, address: Address) -> None:
    assert is_address(text)
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("localhost", "http://localhost:6333"),
        ("localhost:6334", "http://localhost:6334"),
        ("https://a.example/", "https://a.example:6333"),
        (" http://a.example:80/qdrant/ ", "http://a.example:80/qdrant"),
    ],
)
def test_urls_as_users_write_them(url: str, whole: str) -> None:
    assert Address.of(url, "docs").url == whole


@pytest.mark.parametrize(
    "text", ["out/", "qdrant", "http://localhost/docs", "qdrant:/localhost/docs", "C:\\out", "x.jsonl"]
)
def test_files_and_urls_are_no_addresses(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "qdrant://localhost",
        "qdrant://localhost/",
        "qdrant:///docs",
        "qdrant://h:port/docs",
        "qdrant://h/d?x=1",
    ],
)
def test_what_is_no_collection_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert "qdrant://localhost/NAME" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@host",
        "https://hunter2@host:6333/x",
        "me:hunter2@host:6333",
        "http://me:hunter2@host:99999",
        "http://me:hunter2@[1",
        "http://host?api-key=hunter2",
        "http://host:port?api-key=hunter2",
        "ftp://host",
        "http://",
        "",
    ],
)
def test_urls_that_are_refused_do_not_repeat_a_password(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Address.of(url, "docs")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_is_a_folder_above_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no collection can be named"):
        Address.of("localhost", name)
    with pytest.raises(UsageError, match="no collection can be named"):
        parse(f"qdrant://localhost/{name}")


def test_a_collection_has_a_name() -> None:
    with pytest.raises(UsageError, match="no name"):
        Address.of("localhost", "")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("localhost", True),
        ("http://127.0.0.2:1", True),
        ("http://[::1]", True),
        ("http://10.0.0.1", False),
        ("https://a.example", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:
    assert Address.of(url, "docs").loopback is loopback


@given(st.text(min_size=1), st.text(), st.sampled_from(["http", "https"]))
def test_what_is_printed_reads_back(collection: str, vector: str, scheme: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in collection + vector):
        return  # no UTF-8, no URL
    if collection in (".", ".."):
        return
    address = Address(f"{scheme}://host:6333", collection, vector)
    assert parse(str(address)) == address
