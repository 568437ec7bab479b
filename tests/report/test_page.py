"""The page as text: one file, a policy that allows nothing else, hostile content escaped, its size."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from qembed.report.page import bench_page, render
from qembed.report.stored import StoredBench

ADDRESSES = ("src", "href", "action", "data", "poster", "srcset", "background", "formaction")


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inner: list[tuple[str, dict[str, str | None], str]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag in ("script", "style")
        if self._open:
            self.inner.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attributes, text = self.inner[-1]
            self.inner[-1] = (tag, attributes, text + data)


@pytest.fixture(scope="module")
def page(full: StoredBench) -> str:
    return bench_page(full)


@pytest.fixture(scope="module")
def hostile_page(hostile: StoredBench) -> str:
    return bench_page(hostile)


def policy_of(page: str) -> dict[str, list[str]]:
    elements = Elements(page)
    (content,) = [
        attributes["content"]
        for tag, attributes in elements.found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert content is not None
    return {part.split()[0]: part.split()[1:] for part in content.split(";")}


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_and_nothing_else(page: str) -> None:
    policy = policy_of(page)
    assert policy["default-src"] == ["'none'"]
    assert set(policy) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}

    def hashes(tag: str) -> list[str]:
        texts = [
            text
            for name, attributes, text in Elements(page).inner
            if name == tag and "type" not in attributes
        ]
        return [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        ]

    assert policy["script-src"] == hashes("script")
    assert policy["style-src"] == hashes("style")


def test_the_page_points_nowhere(page: str) -> None:
    for tag, attributes in Elements(page).found:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ADDRESSES:
            address = attributes.get(name)
            assert address is None or address.startswith("#") or address == "data:,", (tag, address)


def test_hostile_content_makes_no_element(hostile_page: str, page: str) -> None:
    allowed = {tag for tag, _ in Elements(page).found}
    found = Elements(hostile_page).found
    assert {tag for tag, _ in found} <= allowed
    assert not allowed & {"i", "b", "u", "img"}, "what the texts are full of"
    assert sum(tag == "script" for tag, _ in found) == sum(tag == "script" for tag, _ in Elements(page).found)
    assert "window.hacked = 1</script>" not in hostile_page
    assert "&lt;u&gt;hostile&lt;/u&gt;" in hostile_page


def test_a_page_is_the_same_every_time(full: StoredBench, page: str) -> None:
    assert bench_page(full) == page


def test_a_page_that_is_too_large_is_cut_and_says_so(hostile: StoredBench, hostile_page: str) -> None:
    assert "To keep this page small" not in hostile_page
    small = bench_page(hostile, limit_bytes=1)
    assert len(small) < len(hostile_page) + 200
    assert (
        "To keep this page small, it carries the first 10 results of each system, and 500 characters" in small
    )


def test_every_internal_link_has_its_place(page: str, full: StoredBench) -> None:
    queries = {line["query_id"] for line in full.queries}
    elements = Elements(page).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in elements:
        address = attributes.get("href") or ""
        if tag == "a" and address.startswith("#q="):
            assert unquote(address.removeprefix("#q=")) in queries
        elif tag == "a":
            assert address.removeprefix("#") in ids
        for name in ("aria-labelledby", "aria-describedby"):
            if name in attributes:
                assert attributes[name] in ids


def test_synthetic_queries_are_announced(full: StoredBench, page: str) -> None:
    from dataclasses import replace

    assert "Synthetic questions" not in page
    judged = {**full.document["eval_set"], "synthetic": True}
    assert "Synthetic questions" in bench_page(replace(full, document={**full.document, "eval_set": judged}))


def test_a_value_that_a_template_needs_cannot_be_forgotten() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("bench.html.j2")


def test_how_to_repeat_it(page: str) -> None:
    assert re.search(r"qembed-toolkit \d", page)
    assert "qembed report " in page
