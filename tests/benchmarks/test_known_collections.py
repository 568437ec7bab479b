"""benchmarks/known_collections.py on a small folder in BEIR's layout; its figures are read, not measured."""

from __future__ import annotations

import math

import pytest
from eval_folders import eval_folder
from tiny_rerankers import tiny_cross_encoder

TEXTS = {
    "1": "filter a point by its payload",
    "2": "a vector is searched in the index",
    "3": "the model reads a chunk of text",
    "4": "passages answer a query",
}


@pytest.fixture
def known(scripts):
    """The script as a module; forgotten after the test."""
    return scripts("common", "known_collections")["known_collections"]


@pytest.fixture
def scifact(tmp_path):
    """``scifact``, as small as can be: BM25 finds both answers first."""
    queries = {"q1": "filter text by payload", "q2": "vector index passages"}
    eval_folder(tmp_path / "scifact", queries, {"test": ["q1 1 1", "q2 2 1"]}, corpus=TEXTS)
    return tmp_path


def test_every_system_is_measured_and_compared(known, scifact, tiny, tmp_path, capsys):
    reranker = tiny_cross_encoder(tmp_path / "models")
    arguments = [str(scifact), "--sets", "scifact", "--models", str(tiny)]
    code = known.main([*arguments, "-r", f"ms-marco-minilm={reranker}", f"maxsim={'maxsim:' + str(tiny)}"])

    rows = [
        line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| sci")
    ]
    cells = {row[1].strip(): [cell.strip() for cell in row[2:]] for row in rows}
    assert list(cells) == [str(tiny), f"{tiny} + bm25", "bm25", "bm25 > ms-marco-minilm", "bm25 > maxsim"]
    assert cells["bm25"][:4] == ["1.000", "0.679", "+0.321", "NOT REACHED"]
    assert cells["bm25"][4].startswith("Lucene BM25")
    assert cells["bm25 > ms-marco-minilm"][1] == "0.688"
    assert cells["bm25 > maxsim"][1:] == ["", "", "", ""]
    assert code == 1


def test_a_wider_tolerance_passes(known, scifact, tiny):
    arguments = [str(scifact), "--sets", "scifact", "--models", str(tiny), "--tolerance", "0.5", "-r"]
    assert known.main(arguments) == 0


def test_a_reranker_reads_what_bm25_found(known, scifact, tiny, tmp_path, monkeypatch):
    from qembed import BenchOptions, EmbedOptions, bench, embed

    embed(scifact / "scifact" / "corpus.jsonl", tmp_path / "out", EmbedOptions(model=str(tiny)))
    result = bench(tmp_path / "out", scifact / "scifact", BenchOptions(latency_queries=0))
    bm25 = next(row.system for row in result.rows if row.system.name == "bm25")
    read = []

    class Backwards:
        """Puts the last candidate first."""

        def rerank(self, queries, texts, candidates):
            read.extend([[texts[at] for at in found.tolist()] for found in candidates])
            return type("Work", (), {"scores": [found * 0.0 + range(len(found)) for found in candidates]})

    monkeypatch.setattr(known, "open_reranker", lambda spec: Backwards())
    value = known.reranked(result, bm25, "any")
    assert [found[0] for found in read] == [TEXTS["1"], TEXTS["2"]]
    # the answer was first and is last now
    assert value == pytest.approx(sum(1 / math.log2(len(found) + 1) for found in read) / 2)
    assert value < 1


def test_figures_have_a_source_and_are_no_percentages(known):
    figures = known.published()
    assert len(figures) >= 9
    for (collection, _), figure in figures.items():
        assert collection in known.SETS
        assert 0 < figure.value < 1
        assert figure.how
        assert figure.url.startswith("https://")
