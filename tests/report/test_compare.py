"""Two stored benches against each other."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest

from qembed.errors import Mismatch
from qembed.report.compare import compare_markdown, compare_page, headline, pair_benches
from qembed.report.stored import StoredBench


def shifted(bench: StoredBench, system: str, by: float) -> StoredBench:
    """The bench with other values of one system."""
    values = copy.deepcopy(bench.values)
    for at, row in enumerate(values[system].values()):
        old = row["nDCG@10"]
        row["nDCG@10"] = None if old is None else old + by + (at % 3) * 0.01
    return replace(bench, values=values)


def test_the_same_bench_has_not_changed(full: StoredBench) -> None:
    pair = pair_benches(full, full)
    assert {(found.verdict, found.difference) for found in pair.comparisons.values()} == {("cannot tell", 0)}
    assert list(pair.comparisons) == full.names
    assert headline(pair) == "No system is shown to have changed."
    assert "Nothing else was different" in compare_page(pair)


def test_a_system_that_got_worse(full: StoredBench) -> None:
    pair = pair_benches(full, shifted(full, "bm25", -0.3))
    assert pair.comparisons["bm25"].verdict == "worse"
    assert pair.comparisons["vectors"].verdict == "cannot tell"
    assert headline(pair) == "BM25 keyword search got worse."
    assert "BM25 keyword search: 20 queries changed" in compare_page(pair)


def test_several_systems_are_one_family(full: StoredBench) -> None:
    pair = pair_benches(full, shifted(full, "bm25", -0.3))
    found = pair.comparisons["bm25"]
    assert found.p_adjusted == pytest.approx(min(1, found.p * len(full.names)))


def test_a_verdict_that_does_not_survive_the_correction_is_none(full: StoredBench) -> None:
    values = copy.deepcopy(full.values)
    for row in list(values["bm25"].values())[:9]:
        row["nDCG@10"] = (row["nDCG@10"] or 0) + 0.6
    pair = pair_benches(full, replace(full, values=values))
    found = pair.comparisons["bm25"]
    assert found.p <= 0.05 < found.p_adjusted
    assert found.verdict == "cannot tell"


def test_other_judgements_and_systems_are_announced(full: StoredBench) -> None:
    document = copy.deepcopy(full.document)
    document["eval_set"] |= {"sha256": "other", "judgements": 60}
    document["systems"] = document["systems"][:2]
    document["options"]["seed"] = 7
    pair = pair_benches(full, replace(full, document=document))
    assert "The eval sets differ (50 judgements before, 60 after)" in pair.warnings[0]
    assert any(words.startswith("Only before: New embeddings + BM25") for words in pair.warnings)
    text = compare_markdown(pair)
    assert "| options.seed | 0 | 7 |" in text
    assert "eval\\_set.judgements | 50 | 60 |" in text


def test_nothing_in_common(full: StoredBench) -> None:
    other = copy.deepcopy(full.document)
    other["measures"] = ["MRR@5"]
    with pytest.raises(Mismatch, match="no measure"):
        pair_benches(full, replace(full, document=other))
    other = copy.deepcopy(full.document)
    for system in other["systems"]:
        system["name"] += "!"
    with pytest.raises(Mismatch, match="no system"):
        pair_benches(full, replace(full, document=other))
    renamed = {name: {f"x{query}": row for query, row in rows.items()} for name, rows in full.values.items()}
    with pytest.raises(Mismatch, match="no query"):
        pair_benches(full, replace(full, values=renamed))


def test_a_baseline_that_only_one_has_is_two_lines(full: StoredBench) -> None:
    """Its embeddings and its model, not every hash and setting of it."""
    sides = full.document["sides"][:1]
    page = compare_page(pair_benches(replace(full, document={**full.document, "sides": sides}), full))
    assert re.findall(r">(baseline\.[a-z_.]+)<", page) == ["baseline.embeddings", "baseline.model"]
    assert "environment.load" not in page
