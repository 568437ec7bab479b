"""The card of an eval set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.card import Card, read_card, write_card
from qembed.records import Finding

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = WORDS.filter(str.strip)
CARDS = st.builds(
    Card,
    name=NAMES,
    level=st.sampled_from(["chunk", "page"]),
    split=NAMES,
    synthetic=st.booleans(),
    pool_depth=st.none() | st.integers(1, 1000),
    description=WORDS,
    licence=WORDS,
    packages=st.lists(WORDS, max_size=3).map(tuple),
    corpus=WORDS,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(card=CARDS)
def test_a_card_reads_back(tmp_path: Path, card: Card) -> None:
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_what_is_written(tmp_path: Path) -> None:
    write_card(tmp_path, Card("handbook", pool_depth=20, packages=("click==8.5.1",)))
    assert (tmp_path / "card.toml").read_text().splitlines() == [
        'name = "handbook"',
        'level = "chunk"',
        'split = "test"',
        "synthetic = false",
        "pool_depth = 20",
        'packages = ["click==8.5.1"]',
    ]


def test_without_a_card(tmp_path: Path) -> None:
    (tmp_path / "scifact").mkdir()
    assert read_card(tmp_path / "scifact") == Card("scifact", "chunk", "test", synthetic=False)


def test_a_card_may_leave_out_everything(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text("")
    assert read_card(tmp_path) == Card(tmp_path.name)


def test_a_key_that_nobody_reads_is_said(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text('license = "CC0"\nquite_else = 1\n')
    findings: list[Finding] = []
    assert read_card(tmp_path, findings.append).licence == ""
    assert [found.kind for found in findings] == ["unknown-card-key"] * 2
    assert "did you mean 'licence'?" in findings[0].reason
    assert "known are name, level" in findings[1].reason
    read_card(tmp_path)  # a warning is not raised


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a', "not TOML"),
        ('level = "passage"', "must be one of chunk, page"),
        ("synthetic = 1", "must be true or false"),
        ('pool_depth = "20"', "must be a whole number"),
        ("pool_depth = true", "must be a whole number"),
        ("pool_depth = 0", "cannot be 0"),
        ('packages = "click==8.5.1"', "must be a list of strings"),
        ("packages = [1]", "must be a list of strings"),
        ("name = 3", "must be a string"),
        ('split = ""', "cannot be ''"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_card(tmp_path)
    assert caught.value.where == str(tmp_path / "card.toml")
    assert caught.value.remedy


def test_a_card_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_bytes(b'name = "na\xefve"')
    with pytest.raises(UsageError, match="cannot be read"):
        read_card(tmp_path)
