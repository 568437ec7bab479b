"""``--json``, ``--csv`` and ``--md``: one look for every command that prints rows."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from bench_folders import library
from judged_files import write_embeddings, write_eval_set

from qembed.cli import group
from qembed.models import Encoder, EncoderOptions
from qembed.terminal.options import Form
from qembed.terminal.output import Column, console, print_rows, print_values

Run = Callable[..., Any]
REPOSITORY = Path(__file__).parents[2]
SIZES: list[Column[tuple[str, Any]]] = [
    Column("name", lambda row: row[0]),
    Column("size_bytes", lambda row: row[1], "{:,.1f}".format),
    Column("known", lambda row: row[1] is not None, detail=True),
]
ROWS: list[tuple[str, Any]] = [
    ('a, "b"\r\n| c', 1 / 3 + 1000),
    ("[bold]:smile:[/bold] é", None),
    ("c", math.nan),
]


def printed(capsysbinary: pytest.CaptureFixture[bytes], form: Form | None) -> bytes:
    print_rows(SIZES, ROWS, form)
    captured = capsysbinary.readouterr()
    assert captured.err == b""
    return captured.out


class TestRows:
    def test_csv_is_that_of_rfc_4180_with_every_digit(
        self, capsysbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        assert printed(capsysbinary, "csv").decode() == (
            "name,size_bytes,known\r\n"
            '"a, ""b""\r\n| c",1000.3333333333334,true\r\n'
            "[bold]:smile:[/bold] é,,false\r\n"
            "c,,true\r\n"
        )

    def test_md_is_one_line_a_row(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        assert printed(capsysbinary, "md").decode().splitlines() == [
            "| name | size bytes |",
            "| --- | --: |",
            '| a, "b" \\| c | 1,000.3 |',
            "| \\[bold\\]:smile:\\[/bold\\] é | - |",
            "| c | - |",
        ]

    def test_people_see_a_table_without_markup(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        lines = printed(capsysbinary, None).decode().splitlines()
        assert [line.split() for line in lines[1:3]] == [["size"], ["name", "bytes"]]
        assert "[bold]:smile:[/bold] é" in "\n".join(lines)
        assert "\x1b" not in "".join(lines)

    def test_no_rows_are_a_header(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_rows(SIZES, [], "csv")
        assert capsys.readouterr().out.split() == ["name,size_bytes,known"]

    def test_values(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_values({"cosine_min": 0.99999998, "records": 12345, "verdict": "worse"}, "md")
        rows = capsys.readouterr().out.splitlines()[2:]
        assert rows == ["| cosine min | 0.99999998 |", "| records | 12,345 |", "| verdict | worse |"]


class TestWidth:
    def test_80_columns_in_a_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever terminal stdin is."""
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr("os.get_terminal_size", lambda *_: (200, 50))
        assert console().width == 80

    def test_eight_measures(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        """No number and no name is cut where they need more than one table."""
        measures = ["nDCG@10", "nDCG@5", "recall@5", "recall@10", "MRR@10", "P@1", "P@5", "judged@10"]
        line = [
            *commands["bench"],
            "--no-store",
            *(word for name in measures for word in ("--measure", name)),
        ]
        out, document = run_cli(line).out, json.loads(run_cli([*line, "--json"]).out)
        assert max(map(len, out.splitlines())) <= 80
        before = out.partition("compared with vectors")[0].split()
        shown = [f"{found['mean']:.3f}" for row in document["systems"] for found in row["estimates"].values()]
        assert len(shown) == 8 * len(document["systems"])
        for number in shown:
            assert before.count(number) >= shown.count(number)

    @pytest.mark.parametrize(("columns", "width"), [("60", 60), ("300", 100)])
    def test_what_is_asked_for(self, monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        assert console().width == width


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> tuple[Path, Path]:
    """Embeddings with a manifest, and an eval set that they answer."""
    folder = tmp_path_factory.mktemp("stored")
    encoder = Encoder.load(str(tiny), EncoderOptions(device="cpu", precision="fp32"))
    texts = {f"docs:{number}": f"vector of a point {number}" for number in range(12)}
    queries = {f"q{number}": f"point {number}" for number in range(4)}
    qrels = {query: {f"docs:{query[1:]}": 1} for query in queries}
    return (
        write_embeddings(folder / "out", texts, encoder.encode(list(texts.values())), encoder.info),
        write_eval_set(folder / "set", queries, qrels, synthetic=True),
    )


@pytest.fixture
def commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_chunks: Callable[..., Path],
    stored: tuple[Path, Path],
    word_tokenizer: Any,
) -> dict[str, list[Any]]:
    """A command line for every command with rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    chunks = write_chunks(
        tmp_path / "eco", {"docs|[a]/a": ["Home", "Filtering by payload"], "more/b": ["Home", 5]}
    )
    page = tmp_path / "page.md"
    page.write_text("# A page\n\nText.\n\n## Below\n\nMore text.\n")
    own = ["--max-tokens", "40", "--force"]
    made = library(tmp_path)
    judged = [made.embeddings, "-e", made.eval_set, "-q", "--query-vectors", made.query_vectors]
    queries = range(20)
    (tmp_path / "qrels.txt").write_text("".join(f"q{n} 0 d{n} 1\n" for n in queries))
    (tmp_path / "one.trec").write_text("".join(f"q{n} Q0 d{n} 1 2.0 one\n" for n in queries))
    (tmp_path / "two.trec").write_text("".join(f"q{n} Q0 d{n % 9} 1 2.0 two\n" for n in queries))
    return {
        "inspect": ["inspect", chunks],
        "audit": ["audit", made.embeddings, "-q"],
        "plan": ["plan", chunks, "--device", "t4x2"],
        "bench": ["bench", *judged, "--resamples", "200", "--gate", "nDCG@10>=0.99"],
        "sweep": ["sweep", *judged, "--resamples", "200", "--dims", "6"],
        "verify": ["verify", stored[0], "-q", "-e", stored[1], "-k", "3"],
        "compare": ["compare", "one.trec", "two.trec", "--qrels", "qrels.txt", "--resamples", "200"],
        "evalset stats": ["evalset", "stats", made.eval_set],
        "models": ["models"],
        "corpus from-markdown": ["corpus", "from-markdown", page, "-o", tmp_path / "out", *own],
        "corpus from-package": ["corpus", "from-package", "click", "-o", tmp_path / "api", *own],
    }


NAMES = [
    *("inspect", "audit", "plan", "bench", "compare", "sweep", "verify", "evalset stats"),
    *("models", "corpus from-markdown", "corpus from-package"),
]
each_command = pytest.mark.parametrize("name", NAMES)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@each_command
class TestCommands:
    def test_csv(self, commands: dict[str, list[Any]], run_cli: Run, name: str) -> None:
        people, ran = run_cli(commands[name]), run_cli([*commands[name], "--csv"])
        assert ran.code == people.code
        assert "\x1b" not in ran.out
        lengths = {len(row) for row in csv.reader(io.StringIO(ran.out, newline=""))}
        assert len(lengths) == 1
        rows = read_csv(ran.out)
        assert rows
        assert all(re.fullmatch(r"[\w@]+", head) for head in rows[0]), list(rows[0])
        assert not {"nan", "None", "True", "False"} & {cell for row in rows for cell in row.values()}

    def test_md(self, commands: dict[str, list[Any]], run_cli: Run, name: str) -> None:
        head, rule, *rows = run_cli([*commands[name], "--md"]).out.splitlines()
        assert re.fullmatch(r"\|( (---|--:) \|)+", rule)
        count = [len(re.findall(r"(?<!\\)\|", line)) for line in (head, rule, *rows)]
        assert len(set(count)) == 1
        assert rows
        assert len(head) < 300

    def test_json_as_ever(self, commands: dict[str, list[Any]], run_cli: Run, name: str) -> None:
        json.loads(run_cli([*commands[name], "--json"]).out)

    def test_people_in_80_columns(
        self, commands: dict[str, list[Any]], run_cli: Run, name: str, tmp_path: Path
    ) -> None:
        """Paths stay whole, to be copied."""
        paths = (str(tmp_path.parent.parent), "Wrote ")
        lines = run_cli(commands[name]).out.splitlines()
        assert all(len(line) <= 80 for line in lines if not any(path in line for path in paths))

    @pytest.mark.parametrize("pair", [("--csv", "--md"), ("--json", "--csv"), ("--md", "--json")])
    def test_one_of_them(
        self, commands: dict[str, list[Any]], run_cli: Run, name: str, pair: tuple[str, str]
    ) -> None:
        ran = run_cli([*commands[name], *pair])
        assert (ran.code, ran.out) == (2, "")
        assert "use only one of them" in ran.err

    def test_help_and_documentation_name_it(
        self, commands: dict[str, list[Any]], run_cli: Run, name: str
    ) -> None:
        words = [word for word in commands[name][:2] if word in name.split()]
        assert " ".join(words) == name
        out = run_cli([*words, "--help"]).out
        assert all(flag in out for flag in ("--json", "--csv", "--md"))
        assert f"`{name}`" in (REPOSITORY / "docs" / "output.md").read_text(encoding="utf-8")


def with_csv(command: click.Command = group, path: tuple[str, ...] = ()) -> list[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        inner = [found for name, one in below if one is not None for found in with_csv(one, (*path, name))]
    else:
        inner = []
    own = [" ".join(path)] if any("--csv" in parameter.opts for parameter in command.params) else []
    return own + inner


def test_every_command_with_rows_is_tested() -> None:
    assert sorted(with_csv()) == sorted(NAMES)


class TestWhatIsSaid:
    def test_bench(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        """Numbers are those of the JSON document, and stderr says why the exit code is 3."""
        ran = run_cli([*commands["bench"], "--csv", "--no-store"])
        document = json.loads(run_cli([*commands["bench"], "--json", "--no-store"]).out)
        assert ran.code == 3
        assert ran.err.startswith("gate FAILS: nDCG@10>=0.99  (vectors)")
        first, *others = read_csv(ran.out)
        assert [first["system"], *(row["system"] for row in others)] == [
            system["name"] for system in document["systems"]
        ]
        assert first["nDCG@10_difference"] == first["nDCG@10_verdict"] == ""
        for row, system in zip(others, document["systems"][1:], strict=True):
            found = system["comparisons"]["nDCG@10"]
            assert float(row["nDCG@10_difference"]) == found["difference"]
            assert float(row["nDCG@10_p"]) == found["p_adjusted"]
            assert row["nDCG@10_verdict"] == found["verdict"]
        assert float(first["latency_p50_ms"]) > 0

    def test_where_a_bench_was_written_is_no_data(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        ran = run_cli([*commands["bench"], "--md"])
        assert "Wrote reports/0001_library" in ran.err.replace("\\", "/")
        assert "Wrote" not in ran.out

    def test_agreement(self, commands: dict[str, list[Any]], run_cli: Run, tmp_path: Path) -> None:
        queries = tmp_path / "set" / "queries.jsonl"
        vectors = tmp_path / "queries"
        both = ["-b", tmp_path / "new", "--query-vectors", vectors, "--baseline-query-vectors", vectors]
        asked = ["bench", tmp_path / "new", "--queries", queries, "-q", "--no-store"]
        ran = run_cli([*asked, *both, "--csv"])
        assert ran.code == 0, ran.err
        first, *_, last = read_csv(ran.out)
        assert (first["system"], first["overlap@1"]) == ("vectors", "")
        assert (last["system"], float(last["rank_biased_overlap"])) == ("baseline", pytest.approx(1))

    def test_inspect(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        ran = run_cli([*commands["inspect"], "--csv", "--model", "minilm"])
        rows = {row["subdirectory"]: row for row in read_csv(ran.out)}
        assert set(rows) == {"docs|[a]", "more"}
        assert rows["docs|[a]"]["characters_max"] == str(len("Filtering by payload"))
        assert int(rows["docs|[a]"]["tokens"]) >= int(rows["docs|[a]"]["tokens_max"]) > 0
        assert "1 finding; --json lists all" in ran.err
        assert "| total | 2 | 3 |" in run_cli([*commands["inspect"], "--md"]).out

    def test_plan(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        rows = read_csv(run_cli([*commands["plan"], "--csv"]).out)
        document = json.loads(run_cli([*commands["plan"], "--json"]).out)
        chosen = [row["precision"] for row in rows if row["chosen"] == "true"]
        assert chosen == [document["chosen"]["precision"]]
        fp32 = next(row for row in rows if row["precision"] == "fp32")
        assert (fp32["fit"], fp32["least_seconds"]) == ("no", "")
        assert "short" in fp32["reason"]

    def test_audit(self, tmp_path: Path, run_cli: Run) -> None:
        made = library(tmp_path)
        file = made.embeddings / "c_embeddings.jsonl"
        file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[0] * 3)
        document = json.loads(run_cli(["audit", made.embeddings, "-q", "--json"]).out)
        rows = read_csv(run_cli(["audit", made.embeddings, "-q", "--csv"]).out)
        assert [row["kind"] for row in rows] == [found["kind"] for found in document["findings"]]
        assert [row["lines"] for row in rows] == [
            " ".join(map(str, found["lines"])) for found in document["findings"]
        ]
        assert {row["kind"]: int(row["of_this_kind"]) for row in rows} == document["counts"]
        assert "error" in {row["severity"] for row in rows}

    def test_verify(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        values = {row["name"]: row["value"] for row in read_csv(run_cli([*commands["verify"], "--csv"]).out)}
        document = json.loads(run_cli([*commands["verify"], "--json"]).out)
        assert values["holds"] == "true"
        assert float(values["cosine_min"]) == document["drift"]["min"]
        assert float(values["same_top_3_mean"]) == 1
        assert float(values["stored_nDCG@10"]) == document["ranking"]["stored"]["mean"]
        assert values["synthetic"] == "true"

    def test_sweep(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        rows = read_csv(run_cli([*commands["sweep"], "--csv"]).out)
        assert (rows[0]["form"], rows[0]["vector_bytes"], rows[0]["nDCG@10_verdict"]) == (
            "12 float32",
            "48",
            "",
        )
        document = json.loads(run_cli([*commands["sweep"], "--json"]).out)
        assert len(rows) == len(document["variants"]) > 3
        assert all(row["nDCG@10_verdict"] for row in rows[1:])

    def test_evalset_stats(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        ran = run_cli([*commands["evalset stats"], "--csv"])
        values = {row["name"]: row["value"] for row in read_csv(ran.out)}
        assert (values["name"], values["queries"], values["synthetic"]) == ("library", "20", "false")
        assert float(values["judgements_per_query_mean"]) > 0
        assert int(values["grade_2"]) == 20

    def test_models(self, run_cli: Run) -> None:
        rows = {row["name"]: row for row in read_csv(run_cli(["models", "--csv"]).out)}
        assert rows["nomic-embed-code"]["parameters"] == "7070619136"
        assert rows["ms-marco-MiniLM-L6-v2"]["kind"] == "reranker"
        assert rows["all-MiniLM-L6-v2"]["bundled"] == "true"
        assert run_cli(["models", "--csv", "show", "minilm"]).code == 2

    def test_what_was_made_is_no_data(self, commands: dict[str, list[Any]], run_cli: Run) -> None:
        ran = run_cli([*commands["corpus from-markdown"], "--csv"])
        assert [row["sections"] for row in read_csv(ran.out)] == ["2"]
        assert "chunks of at most 40 tokens" in ran.err
