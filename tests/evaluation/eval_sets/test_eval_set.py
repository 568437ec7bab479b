"""Reading an eval set: splits, cards, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_folders import eval_folder

from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets.card import Card
from qembed.evaluation.eval_sets.eval_set import load_eval_set, split_files
from qembed.evaluation.eval_sets.stats import Spread, eval_set_stats, spread

QUERIES = {"q1": "one", "q2": "two words", "q3": "three", "q4": "four of them here"}
ROWS = ["q3 a 0", "q1 a 2", "q1 b 1", "q1 c 0", "q2 b 1"]


class TestLoad:
    def test_a_plain_beir_folder(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path / "scifact", QUERIES, {"test": ROWS})
        eval_set = load_eval_set(folder)
        assert eval_set.card == Card("scifact")
        assert eval_set.queries == QUERIES
        assert eval_set.qrels == {"q3": {"a": 0}, "q1": {"a": 2, "b": 1, "c": 0}, "q2": {"b": 1}}
        assert list(eval_set.judged) == ["q1", "q2", "q3"]
        assert eval_set.unanswerable == {"q3": "three"}
        assert eval_set.findings == ()
        assert eval_set.qrels_file == folder / "qrels" / "test.tsv"

    def test_the_card_names_the_split_and_an_argument_goes_before_it(self, tmp_path: Path) -> None:
        card = 'name = "mine"\nsplit = "dev"\nlevel = "page"'
        folder = eval_folder(tmp_path, QUERIES, {"dev": ["q1 a 1"], "train": ["q2 b 1"]}, card=card)
        assert load_eval_set(folder).qrels == {"q1": {"a": 1}}
        other = load_eval_set(folder, split="train")
        assert (other.card.name, other.card.level, other.card.split) == ("mine", "page", "train")
        assert other.qrels == {"q2": {"b": 1}}

    def test_files_of_trec(self, tmp_path: Path) -> None:
        (tmp_path / "qrels").mkdir()
        (tmp_path / "queries.tsv").write_text("q1\tone\nq2\ttwo\n")
        (tmp_path / "qrels" / "test.txt").write_text("q1 0 a 2\nq1 0 b -1\nq2 0 c -2\n")
        eval_set = load_eval_set(tmp_path)
        assert eval_set.qrels == {"q1": {"a": 2, "b": 0}, "q2": {"c": 0}}
        assert eval_set.unanswerable == {"q2": "two"}

    def test_findings_name_file_and_line(self, tmp_path: Path) -> None:
        lines = ['{"_id": "q1", "text": "one"}', "{broken", '{"_id": "q2", "text": "two"}']
        folder = eval_folder(
            tmp_path,
            lines,
            {"test": ["q1 a 1", "q9 b 1", "q1 a x", "q9 c 1", "q2 a 1", "q2 a 1"]},
            card="unread = 1",
        )
        eval_set = load_eval_set(folder)
        found = {(each.kind, Path(each.place.path).name, each.place.line) for each in eval_set.findings}
        assert found == {
            ("unknown-card-key", "card.toml", None),
            ("not-json", "queries.jsonl", 2),
            ("bad-grade", "test.tsv", 4),
            ("duplicate-row", "test.tsv", 7),
            ("unknown-query", "test.tsv", 3),
        }
        assert eval_set.qrels == {"q1": {"a": 1}, "q2": {"a": 1}}
        assert "2 judgements of it" in next(
            each.reason for each in eval_set.findings if each.kind == "unknown-query"
        )

    def test_hidden_files_are_no_splits(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ROWS, ".test.tsv.1.unfinished": ROWS, ".b": ROWS})
        (folder / "qrels" / "README.md").write_text("x")
        assert list(split_files(folder)) == ["test"]


class TestRefused:
    def test_a_folder_without_queries_does_not_hide_the_bundled_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``qembed corpus from-package ... -o python_api`` makes such a folder of chunks."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "tiny").mkdir()
        found = load_eval_set("tiny")
        assert found.card.name == "tiny"
        assert found.folder != Path("tiny")
        (note,) = [one for one in found.findings if one.kind == "bundled-instead"]
        assert "'tiny' here has no queries; the bundled eval set of that name is used" in note.reason
        (tmp_path / "tiny" / "queries.jsonl").write_text('{"_id": "mine", "text": "x"}')
        with pytest.raises(InputNotFound, match="no qrels"):
            load_eval_set("tiny")
        with pytest.raises(InputNotFound, match="does not exist"):
            load_eval_set("no such set")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match="does not exist"):
            load_eval_set(tmp_path / "absent")
        (tmp_path / "file").write_text("")
        with pytest.raises(InputNotFound, match="is a file"):
            load_eval_set(tmp_path / "file")

    def test_no_queries(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match="no queries in"):
            load_eval_set(tmp_path)

    def test_no_qrels(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match="no qrels"):
            load_eval_set(eval_folder(tmp_path, QUERIES, {}))

    def test_a_split_that_is_not_there_names_those_that_are(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"dev": ROWS, "train": ROWS})
        with pytest.raises(UsageError, match="no split 'test'; there is dev, train") as caught:
            load_eval_set(folder)
        assert caught.value.remedy == "pass --split dev"

    @pytest.mark.parametrize(
        ("queries", "rows", "message"),
        [
            ([], ["q1 a 1"], "no query can be read"),
            (["{"], ["q1 a 1"], "no query can be read: no JSON.*\n.*line 1"),
            (QUERIES, [], "judges none of the queries"),
            (QUERIES, ["q9 a 1"], "judges none of the queries: query 'q9' has no text"),
            (QUERIES, ["q1 a one"], "judges none.*not an integer\n.*line 2"),
        ],
    )
    def test_an_empty_one(
        self, tmp_path: Path, queries: dict[str, str] | list[str], rows: list[str], message: str
    ) -> None:
        folder = eval_folder(tmp_path, queries, {"test": rows})
        with pytest.raises(Mismatch, match=message):
            load_eval_set(folder)

    def test_two_grades(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1", "q1 a 0"]})
        with pytest.raises(Mismatch, match="two grades"):
            load_eval_set(folder)


class TestStats:
    def test_by_hand(self, tmp_path: Path) -> None:
        counted = eval_set_stats(load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS})))
        assert (counted.queries, counted.judged, counted.unanswerable) == (4, 3, 1)
        assert (counted.items, counted.judgements, counted.grades) == (3, 5, {0: 2, 1: 2, 2: 1})
        assert counted.judgements_per_query == Spread(1, 1.0, 5 / 3, 3)
        assert counted.relevant_per_query == Spread(1, 1.5, 1.5, 2)
        assert counted.words_per_query == Spread(1, 1.0, 4 / 3, 2)

    def test_of_nothing(self) -> None:
        assert spread([]) == Spread(0, 0.0, 0.0, 0)
