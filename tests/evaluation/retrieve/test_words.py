"""Words as BM25 compares them, of several scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.retrieve.words import code_words, plain_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  \n… — !", []),
        ("Deleting points", ["delet", "point"]),
        (
            "How do I delete the points that match a filter?",
            ["how", "do", "i", "delet", "point", "match", "filter"],
        ),
        ("The and of", []),
        ("delete_points", ["delete_point", "delet", "point"]),
        ("client.delete_points(ids=[3])", ["client", "delete_point", "delet", "point", "id", "3"]),
        ("HnswConfigDiff", ["hnswconfigdiff", "hnsw", "config", "diff"]),
        ("getHTTPServer2", ["gethttpserver2", "get", "http", "server2"]),
        ("snake_caseAndCamel", ["snake_caseandcamel", "snake", "case", "camel"]),
        ("__init__", ["__init__", "init"]),
        ("_ __", []),
        ("is_valid", ["is_valid", "valid"]),
        ("MAX_TOKENS", ["max_token", "max", "token"]),
        ("float32 int8", ["float32", "int8"]),
        ("don't", ["don", "t"]),
        ("Größe größe", ["größe", "größe"]),
        ("Größe nai\u0308ve", ["größe", "naïv"]),  # a letter and its combining mark are one letter
        ("ﬁlter", ["filter"]),
        ("векторный поиск", ["векторный", "поиск"]),
        ("ベクトル検索", ["ベク", "クト", "トル", "ル検", "検索"]),
        ("近似最近邻搜索", ["近似", "似最", "最近", "近邻", "邻搜", "搜索"]),
        ("中 文x", ["中", "文", "x"]),
        ("벡터를 검색", ["벡터", "터를", "검색"]),
        ("HNSW索引の構築", ["hnsw", "索引", "引の", "の構", "構築"]),
        ("ค้นหา", ["ค้", "้น", "นห", "หา"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are part of the word
        ("می\u200cخواهم", ["میخواهم"]),
        ("emoji 🚀 x", ["emoji", "x"]),
    ],
)
def test_code_words(text: str, expected: list[str]) -> None:
    assert code_words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client.delete_points(HnswConfigDiff)", ["client", "delete_point", "hnswconfigdiff"]),
        ("the points of 近邻搜", ["point", "近邻", "邻搜"]),
    ],
)
def test_plain_words_keep_identifiers_whole(text: str, expected: list[str]) -> None:
    assert plain_words(text) == expected


@given(st.text())
def test_a_phrase_without_spaces_is_found_within_a_longer_one(text: str) -> None:
    assert set(code_words("最近邻")) <= set(code_words(f"{text}近似最近邻搜索"))


@given(st.text())
def test_any_text_has_tokens_in_lower_case(text: str) -> None:
    found = code_words(text)
    assert found == code_words(text)
    assert all(token and not any(letter.isspace() for letter in token) for token in found)


@given(st.from_regex(r"[a-z]{3,8}(_[a-z]{3,8}){0,3}", fullmatch=True))
def test_an_identifier_is_found_whole_and_by_its_parts(name: str) -> None:
    camel = "".join(part.capitalize() for part in name.split("_"))
    for part in name.split("_"):
        assert set(code_words(part)) <= set(code_words(name))
        assert set(code_words(part)) <= set(code_words(camel))
    assert set(code_words(name.upper())) == set(code_words(name))
