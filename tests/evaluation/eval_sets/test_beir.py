"""Queries and qrels on disk: both forms, what is broken, and that what is written reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets import beir
from qembed.evaluation.eval_sets.beir import Form, read_qrels, read_queries, write_qrels, write_queries
from qembed.records import Finding, Qrels

IDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=8).filter(
    lambda name: name == name.strip() != ""
)
TREC_IDS = IDS.filter(lambda name: name.split() == [name])
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def lines(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def kinds(findings: list[Finding]) -> list[tuple[str, int | None]]:
    return [(found.kind, found.place.line) for found in findings]


class TestQueries:
    @same_folder
    @given(queries=st.dictionaries(IDS, TEXTS, max_size=5))
    def test_json_lines_read_back(self, tmp_path: Path, queries: dict[str, str]) -> None:
        write_queries(tmp_path / "q.jsonl", queries)
        assert list(read_queries(tmp_path / "q.jsonl").items()) == list(queries.items())

    def test_columns_read_back_on_one_line(self, tmp_path: Path) -> None:
        write_queries(tmp_path / "q.tsv", {"1": "two\nlines\tand a tab", "2": "plain"}, form="trec")
        assert (tmp_path / "q.tsv").read_text() == "1\ttwo lines and a tab\n2\tplain\n"
        assert read_queries(tmp_path / "q.tsv") == {"1": "two lines and a tab", "2": "plain"}

    def test_metadata_is_written_and_passed_over(self, tmp_path: Path) -> None:
        write_queries(tmp_path / "q.jsonl", {"a": "x", "b": "y"}, metadata={"a": {"kind": "heading"}})
        assert '"metadata":{"kind":"heading"}' in (tmp_path / "q.jsonl").read_text().splitlines()[0]
        assert read_queries(tmp_path / "q.jsonl") == {"a": "x", "b": "y"}

    def test_integer_ids_and_byte_order_marks(self, tmp_path: Path) -> None:
        path = tmp_path / "q.jsonl"
        path.write_bytes('\ufeff{"_id": 7, "text": "é"}\r\n\r\n{"_id": "8", "text": "f"}'.encode())
        assert read_queries(path) == {"7": "é", "8": "f"}

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ('{"_id": "a", "text": ', "not-json"),
            ('{"text": "no id"}', "bad-query"),
            ('{"_id": true, "text": "t"}', "bad-query"),
            ('{"_id": "", "text": "t"}', "bad-query"),
            ('{"_id": "a"}', "bad-query"),
            ('{"_id": "a", "text": "  "}', "bad-query"),
            ('{"_id": "a", "text": 3}', "bad-query"),
            ("no tab here", "bad-query"),
            ("\ttext without an id", "bad-query"),
        ],
    )
    def test_a_broken_line_is_named_and_the_rest_goes_on(self, tmp_path: Path, line: str, kind: str) -> None:
        path = lines(
            tmp_path / "q.jsonl", f'{{"_id": "1", "text": "one"}}\n{line}\n{{"_id": "3", "text": "x"}}\n'
        )
        findings: list[Finding] = []
        assert read_queries(path, findings.append) == {"1": "one", "3": "x"}
        assert kinds(findings) == [(kind, 2)]
        with pytest.raises(Mismatch) as caught:
            read_queries(path)
        assert caught.value.where == f"{path}, line 2"
        assert caught.value.remedy

    def test_bytes_that_are_not_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / "q.tsv"
        path.write_bytes(b"1\tone\n2\tna\xefve\n")
        findings: list[Finding] = []
        assert read_queries(path, findings.append) == {"1": "one"}
        assert kinds(findings) == [("wrong-encoding", 2)]

    def test_utf_16(self, tmp_path: Path) -> None:
        path = tmp_path / "q.tsv"
        path.write_text("1\tone", encoding="utf-16")
        with pytest.raises(Mismatch, match="UTF-16"):
            read_queries(path)

    def test_one_id_twice(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "q.tsv", "1\tone\n2\ttwo\n1\tone\n")
        findings: list[Finding] = []
        assert read_queries(path, findings.append) == {"1": "one", "2": "two"}
        assert kinds(findings) == [("duplicate-query", 3)]
        assert "line 1 already" in findings[0].reason
        assert read_queries(path) == {"1": "one", "2": "two"}  # a warning is not raised
        lines(path, "1\tone\n2\ttwo\n1\tother\n")
        with pytest.raises(Mismatch) as caught:
            read_queries(path, findings.append)
        assert caught.value.where == f"{path}, lines 1 and 3"

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            read_queries(tmp_path / "absent.jsonl")

    @pytest.mark.parametrize("name", ["{", "{}", '{"a', "{1}"])
    def test_an_id_with_a_brace(self, tmp_path: Path, name: str) -> None:
        assert read_queries(lines(tmp_path / "q.tsv", f"{name}\thow?\n")) == {name: "how?"}


class TestQrels:
    @same_folder
    @given(data=st.data(), form=st.sampled_from(["beir", "trec"]))
    def test_they_read_back(self, tmp_path: Path, data: st.DataObject, form: Form) -> None:
        ids = IDS if form == "beir" else TREC_IDS
        judged = st.dictionaries(ids, st.integers(-2, 4), min_size=1, max_size=4)
        qrels: Qrels = data.draw(st.dictionaries(ids, judged, min_size=1, max_size=4))
        write_qrels(tmp_path / "q", qrels, form=form)
        again = read_qrels(tmp_path / "q")
        assert again == qrels
        assert [list(row) for row in again.values()] == [list(row) for row in qrels.values()]

    def test_the_files_to_the_letter(self, tmp_path: Path) -> None:
        qrels = {"q1": {"b": 2, "a": 0}, "q2": {"a": -1}}
        write_qrels(tmp_path / "beir", qrels)
        write_qrels(tmp_path / "trec", qrels, form="trec")
        assert (tmp_path / "beir").read_text() == (
            "query-id\tcorpus-id\tscore\nq1\tb\t2\nq1\ta\t0\nq2\ta\t-1\n"
        )
        assert (tmp_path / "trec").read_text() == "q1\t0\tb\t2\nq1\t0\ta\t0\nq2\t0\ta\t-1\n"

    @pytest.mark.parametrize(
        "text",
        [
            "query-id\tcorpus-id\tscore\n1\td one\t2\n1\te\t0\n",
            "﻿query-id\tcorpus-id\tscore\r\n1\td one\t2\r\n\r\n1\te\t0.0",
            "1\tQ0\td one\t2\n1\tQ0\te\t0\n",
        ],
    )
    def test_forms_are_told_apart_by_what_is_in_the_file(self, tmp_path: Path, text: str) -> None:
        assert read_qrels(lines(tmp_path / "anything", text)) == {"1": {"d one": 2, "e": 0}}

    def test_trec_with_spaces(self, tmp_path: Path) -> None:
        assert read_qrels(lines(tmp_path / "t", "301 0  FBIS3-1 1\n301 0 FBIS3-2 -2\n")) == {
            "301": {"FBIS3-1": 1, "FBIS3-2": -2}
        }

    @pytest.mark.parametrize(
        ("row", "kind"),
        [
            ("1\td", "bad-row"),
            ("1\t0\td\t1", "bad-row"),
            ("\td\t1", "bad-row"),
            ("1\t \t1", "bad-row"),
            ("1\td\thigh", "bad-grade"),
            ("1\td\t0.5", "bad-grade"),
            ("1\td\tnan", "bad-grade"),
            ("1\td\t1e30", "bad-grade"),
            ("1\td\t", "bad-grade"),
        ],
    )
    def test_a_broken_row_is_named_and_the_rest_goes_on(self, tmp_path: Path, row: str, kind: str) -> None:
        path = lines(tmp_path / "q", f"query-id\tcorpus-id\tscore\n1\ta\t1\n{row}\n1\tb\t2\n")
        findings: list[Finding] = []
        assert read_qrels(path, findings.append) == {"1": {"a": 1, "b": 2}}
        assert kinds(findings) == [(kind, 3)]
        with pytest.raises(Mismatch):
            read_qrels(path)

    def test_without_a_header_no_row_is_lost(self, tmp_path: Path) -> None:
        findings: list[Finding] = []
        assert read_qrels(lines(tmp_path / "q", "1\ta\t1\n2\tb\t1\n"), findings.append) == {
            "1": {"a": 1},
            "2": {"b": 1},
        }
        assert kinds(findings) == [("no-header", 1)]

    def test_a_bad_grade_in_the_first_row_is_no_header(self, tmp_path: Path) -> None:
        findings: list[Finding] = []
        read_qrels(lines(tmp_path / "q", "1\ta\tyes\n2\tb\t1\n"), findings.append)
        assert kinds(findings) == [("no-header", 1), ("bad-grade", 1)]

    def test_one_pair_twice(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "q", "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n1\ta\t1\n")
        findings: list[Finding] = []
        assert read_qrels(path, findings.append) == {"1": {"a": 1, "b": 0}}
        assert kinds(findings) == [("duplicate-row", 4)]
        assert "line 2 already" in findings[0].reason
        lines(path, "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n1\ta\t2\n")
        with pytest.raises(Mismatch, match="two grades, 1 and 2") as caught:
            read_qrels(path, findings.append)
        assert caught.value.where == f"{path}, lines 2 and 4"

    def test_many_repeated_rows_are_read_in_linear_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is read once more for their first lines, not once for each of them."""
        passes = 0
        real = beir.text_lines

        def counted(path: Path, on_finding: Any) -> Any:
            nonlocal passes
            passes += 1
            return real(path, on_finding)

        monkeypatch.setattr(beir, "text_lines", counted)
        findings: list[Finding] = []
        rows = "".join(f"1\t{at}\t1\n" for at in range(50)) * 2
        read_qrels(lines(tmp_path / "q.tsv", rows), findings.append)
        assert [kind for kind, _ in kinds(findings)].count("duplicate-row") == 50
        assert passes == 2
        passes, texts = 0, "".join(f"{at}\ttext\n" for at in range(50)) * 2
        read_queries(lines(tmp_path / "queries.tsv", texts), findings.append)
        assert [kind for kind, _ in kinds(findings)].count("duplicate-query") == 50
        assert passes == 2

    def test_a_run_is_not_qrels(self, tmp_path: Path) -> None:
        with pytest.raises(Mismatch, match="is a run"):
            read_qrels(lines(tmp_path / "r", "1 Q0 a 1 0.5 name\n"))

    def test_no_row_at_all(self, tmp_path: Path) -> None:
        assert read_qrels(lines(tmp_path / "q", "")) == {}
        assert read_qrels(lines(tmp_path / "q", "query-id\tcorpus-id\tscore\n")) == {}


class TestIds:
    @pytest.mark.parametrize("name", ["", "a\tb", "a\nb", "a\rb", "\t"])
    def test_that_would_not_read_back_are_refused(self, tmp_path: Path, name: str) -> None:
        for write in (
            lambda: write_qrels(tmp_path / "q", {name: {"a": 1}}),
            lambda: write_qrels(tmp_path / "q", {"a": {name: 1}}),
            lambda: write_queries(tmp_path / "q", {name: "text"}),
        ):
            with pytest.raises(UsageError, match="cannot be written"):
                write()
        assert not (tmp_path / "q").exists()

    def test_spaces_are_for_beir_only(self, tmp_path: Path) -> None:
        write_qrels(tmp_path / "q", {"a b": {"c d": 1}})
        with pytest.raises(UsageError, match="white space") as caught:
            write_qrels(tmp_path / "t", {"a": {"c d": 1}}, form="trec")
        assert "--to beir" in (caught.value.remedy or "")
