"""``qembed sweep``: what people and pipes see, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_files import write_embeddings, write_eval_set

from qembed.commands.sweep.cli import Listed
from qembed.commands.sweep.sweep import SweepOptions
from qembed.models import Encoder, EncoderOptions

RunCli = Callable[[Sequence[str | Path]], Any]
REPOSITORY = Path(__file__).parents[3]
WORDS = ("vector", "search", "point", "index", "query", "filter", "model", "chunk")
TEXTS = {f"docs:{n:03d}": f"{WORDS[n % 8]} {WORDS[n // 8]} {n}" for n in range(48)}
QUERIES = {f"q{n:02d}": f"{WORDS[n % 8]} {WORDS[(3 * n + n // 8) % 8]}" for n in range(12)}


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> Encoder:
    return Encoder.load(str(tiny), EncoderOptions(device="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    vectors = encoder.encode(list(TEXTS.values()))
    return write_embeddings(tmp_path_factory.mktemp("sweep"), TEXTS, vectors, encoder.info)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """What the full vectors find first is relevant; one row is of a chunk that is not there."""
    asked, vectors = (encoder.encode(list(texts.values())) for texts in (QUERIES, TEXTS))
    names = list(TEXTS)
    qrels = {
        query: {names[at]: 1} for query, at in zip(QUERIES, (asked @ vectors.T).argmax(axis=1), strict=True)
    }
    qrels["q00"]["docs:gone"] = 1
    return write_eval_set(tmp_path_factory.mktemp("sets") / "words", QUERIES, qrels, synthetic=True)


class TestForPeople:
    def test_tables(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        code, out, err = run_cli(
            ["sweep", folder, "-e", judged, "--dims", "8,1", "--precision", "fp32", "--margin", "0.25"]
        )
        assert code == 0
        assert out.startswith(str(folder / "docs_embeddings.jsonl"))
        words = " ".join(out.split())
        assert "48 different texts, 32 dimensions," in words
        assert "every search is exact" in words
        assert "words: 12 of 12 queries have an answer; chunks are judged" in words
        assert "SYNTHETIC" in words
        assert "the corpus has no chunk 'docs:gone'" in words
        rows = [line.split() for line in out.splitlines()]
        assert ["32", "float32", "128", "1x"] in [row[:4] for row in rows]
        assert ["32", "binary", "+rescore", "4+128", "32x"] in [row[:5] for row in rows]
        assert ["1", "float32", "4", "32x"] in [row[:4] for row in rows]
        assert any(row[:3] == ["32", "fp16", "+0.000"] and "equivalent" in row for row in rows)
        assert any(row[:2] == ["1", "float32"] and "worse;" in row for row in rows)
        assert "+rescore: the first 40 results ordered by the float32 vectors" in words
        assert "was trained for shorter vectors (Matryoshka)" in words
        assert "The smallest form that ranks as well: 32 " in words
        assert "searching in every form (8 forms)" in err

    @pytest.mark.parametrize("more", [[], ["--combine", "--measure", "recall@20"], ["--quantize", "none"]])
    def test_80_columns(self, run_cli: RunCli, folder: Path, judged: Path, more: list[str]) -> None:
        """But for the path, which can be copied whole."""
        code, out, _ = run_cli(["sweep", folder, "-e", judged, "-q", "--dims", "16,8", *more])
        assert code == 0
        assert all(len(line) <= 80 for line in out.splitlines() if str(folder) not in line)

    def test_nothing_to_try(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        code, out, _ = run_cli(["sweep", folder, "-e", judged, "-q", "--dims", "none", "--quantize", "none"])
        assert code == 0
        assert "32 float32" in out
        assert "against the full vectors" not in out
        assert "smallest" not in out

    def test_one_query(self, run_cli: RunCli, folder: Path, tmp_path: Path) -> None:
        one = write_eval_set(tmp_path / "one", {"q": "vector"}, {"q": {"docs:003": 1}})
        code, out, _ = run_cli(["sweep", folder, "-e", one, "-q", "--dims", "4"])
        assert code == 0
        assert "cannot tell" in out
        assert "nan" not in out
        assert "These queries do not show that any smaller form" in out


class TestForPipes:
    def test_keys_are_documented(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        code, out, err = run_cli(["sweep", folder, "-e", judged, "--json", "-q", "--resamples", "500"])
        document = json.loads(out)
        assert (code, err) == (0, "")
        assert document["variants"][0]["comparison"] is None
        assert document["variants"][0]["bytes"] == 128
        assert document["eval_set"]["findings"] == {"unknown-item": 1}
        assert np.mean(list(document["values"]["32 float32"].values())) == pytest.approx(
            document["variants"][0]["estimate"]["mean"]
        )
        text = (REPOSITORY / "docs" / "sweep.md").read_text(encoding="utf-8").partition("## JSON")[2]
        keys = [*document, *document["variants"][0]]
        assert [key for key in keys if f"`{key}`" not in text and key != "schema"] == []


class TestOptions:
    def test_each_is_passed_on(self, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []

        def sweep(*given: Any, progress: Any) -> None:
            seen.extend(given)
            raise KeyboardInterrupt

        monkeypatch.setattr("qembed.commands.sweep.sweep.sweep", sweep)
        line = "sweep out -e set --split dev --dims 8,4 --quantize int8,binary-asym --oversample 2 --combine "
        line += "--measure R@5 --margin .02 --seed 3 --resamples 700 -m minilm --query-vectors v.jsonl "
        line += "--device cpu --precision bf16 --revision r --trust-remote-code --code-revision c -q"
        assert run_cli(line.split()).code == 130
        assert seen == [
            Path("out"),
            Path("set"),
            SweepOptions(
                dims=(8, 4),
                kinds=("int8", "binary-asym"),
                oversample=2,
                combine=True,
                measure="R@5",
                margin=0.02,
                resamples=700,
                seed=3,
                split="dev",
                model="minilm",
                query_vectors=Path("v.jsonl"),
                encoder=EncoderOptions(
                    device="cpu", precision="bf16", revision="r", trust_remote_code=True, code_revision="c"
                ),
            ),
        ]

    def test_defaults_are_those_of_the_api(self, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []

        def sweep(*given: Any, progress: Any) -> None:
            seen.extend(given)
            raise KeyboardInterrupt

        monkeypatch.setattr("qembed.commands.sweep.sweep.sweep", sweep)
        run_cli(["sweep", "out", "-e", "set"])
        assert seen[2] == SweepOptions()

    def test_lists(self) -> None:
        assert Listed().convert("256, 64,256", None, None) == (256, 64)
        assert Listed(("a", "b")).convert("b,a,b", None, None) == ("b", "a")
        assert Listed().convert("none", None, None) == Listed(("a",)).convert("none", None, None) == ()

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["-e", "set", "--dims", "0"],
            ["-e", "set", "--dims", "a"],
            ["-e", "set", "--dims", ""],
            ["-e", "set", "--quantize", "int4"],
            ["-e", "set", "--oversample", "-1"],
            ["-e", "set", "--margin", "-1"],
        ],
        ids=" ".join,
    )
    def test_usage(self, run_cli: RunCli, folder: Path, arguments: list[str]) -> None:
        code, out, err = run_cli(["sweep", folder, *arguments])
        assert (code, out) == (2, "")
        assert "Traceback" not in err


class TestExitCodes:
    def test_too_many_dimensions(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        code, _, err = run_cli(["sweep", folder, "-e", judged, "--dims", "64", "-q"])
        assert code == 2
        assert "have 32 dimensions and cannot be truncated to 64" in err

    def test_other_chunks(self, run_cli: RunCli, folder: Path, tmp_path: Path) -> None:
        others = write_eval_set(tmp_path / "set", QUERIES, {query: {"other:1": 1} for query in QUERIES})
        assert run_cli(["sweep", folder, "-e", others, "-q"]).code == 5
