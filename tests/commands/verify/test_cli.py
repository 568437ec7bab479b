"""``qembed verify``: what people and pipes see, and exit codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_files import write_eval_set

from qembed.commands.verify.cli import _cosine, command
from qembed.commands.verify.ranking import ChangedQuery, Ranking, RankingOptions
from qembed.commands.verify.verify import THRESHOLDS, VerifyReport
from qembed.models import Encoder, EncoderOptions
from qembed.records import Vectors
from qembed.store import Inputs, Manifest, Output, OutputFiles, record_line, write_json

RunCli = Callable[[Sequence[str | Path]], Any]
REPOSITORY = Path(__file__).parents[3]
TEXTS = [f"{word} of a [bold]chunk[/bold] {n}" for n, word in enumerate(["vector", "point", "index"] * 7)]

IDS = [f"docs:[red]some_subdirectory:a_rather_long_name_of_a_page_{n}.md:chunk:{n}" for n in range(21)]


def write(folder: Path, vectors: Vectors, encoder: Encoder) -> Path:
    files = OutputFiles.of(folder / "docs_embeddings.jsonl")
    files.embeddings.write_bytes(b"".join(map(record_line, IDS, TEXTS, vectors, [{}] * 21)))
    size = files.embeddings.stat().st_size
    output = Output(files.embeddings.name, size, "", "", len(TEXTS), encoder.info.dimension)
    made, now = asdict(encoder.info), "2026-01-01T00:00:00+00:00"
    settings = {"max_length": None}
    write_json(files.manifest, Manifest("docs", now, Inputs("", "", 0, 0), output, settings, made, {}))
    return folder


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> Encoder:
    return Encoder.load(str(tiny), EncoderOptions(device="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    return write(tmp_path_factory.mktemp("sound"), encoder.encode(TEXTS), encoder)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """Two vectors have changed places, one is NaN."""
    vectors = encoder.encode(TEXTS)
    vectors[[0, 13]] = vectors[[13, 0]]
    vectors[7, 0] = np.nan
    return write(tmp_path_factory.mktemp("mixed"), vectors, encoder)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """What the model itself ranks first is relevant."""
    queries = {f"q{n}": f"point of a {n} [red]chunk[/red]" for n in range(8)}
    asked, vectors = encoder.encode(list(queries.values()), "query"), encoder.encode(TEXTS)
    first = (asked @ vectors.T).argmax(axis=1).tolist()
    qrels = {query: {IDS[row]: 1} for query, row in zip(queries, first, strict=True)}
    return write_eval_set(tmp_path_factory.mktemp("sets") / "words", queries, qrels, synthetic=True)


class TestForPeople:
    def test_sound(self, run_cli: RunCli, folder: Path) -> None:
        code, out, _ = run_cli(["verify", folder, "-q"])
        assert code == 0
        assert out.startswith(str(folder))
        assert "21 different texts, seed 0" in out
        assert "fp32, one text at a time" in out
        assert "cosine      mean " in out
        assert "top 10 " in out
        assert "among 21 different vectors of the file" in " ".join(out.split())
        assert "finite      all of 21" in out
        assert "holds: every cosine is at least 0.99999\n" in out

    def test_not_sound(self, run_cli: RunCli, mixed: Path) -> None:
        code, out, _ = run_cli(["verify", mixed, "-q"])
        assert code == 3
        assert "finite      1 with NaN or Inf of 21" in out
        _, _, verdict = out.partition("does not hold:\n")
        assert verdict.splitlines()[:2] == [
            "- 2 of 20 sampled vectors have a cosine below 0.99999",
            "- 1 of 21 vectors hold NaN or Inf",
        ]
        assert verdict.splitlines()[-1] == f"next: qembed audit {mixed / 'docs_embeddings.jsonl'}"
        _, _, worst = out.partition("worst of the sample\n")
        assert "[red]some_subdirectory" in worst  # an id is no markup
        assert all(f"page_{n}.md:chunk:{n}" in "".join(worst.split()) for n in (0, 13))

    @pytest.mark.parametrize("which", ["folder", "mixed"])
    def test_80_columns(self, run_cli: RunCli, request: pytest.FixtureRequest, which: str) -> None:
        """But for paths and commands, which can be copied whole."""
        place = request.getfixturevalue(which)
        _, out, _ = run_cli(["verify", place, "-q"])
        assert all(len(line) <= 80 for line in out.splitlines() if str(place) not in line)

    def test_progress_is_on_stderr(self, run_cli: RunCli, folder: Path) -> None:
        ran = run_cli(["verify", folder, "--json"])
        assert "embedding again (21 texts)" in ran.err
        json.loads(ran.out)

    @pytest.mark.parametrize(
        ("cosine", "shown"), [(1.0, "1.000000"), (0.9999999, "0.999999"), (-0.25, "-0.250000")]
    )
    def test_what_is_not_1_never_reads_as_1(self, cosine: float, shown: str) -> None:
        assert _cosine(cosine) == shown


class TestRanking:
    def test_sound(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        code, out, err = run_cli(["verify", folder, "-e", judged])
        assert code == 0
        words = " ".join(out.split())
        assert "words: 8 of 8 queries have an answer; chunks are judged" in words
        assert "SYNTHETIC" in words
        assert "21 different texts again, the 21 nearest of each query; queries in fp32" in words
        assert "top 10 the same for 8 queries, in another order for 0, with other results for 0" in words
        assert "nothing from behind the candidates comes into a top 10" in words
        assert "verdict cannot tell: 0.000 nDCG@10" in words
        assert "; the ranking is not shown to be worse" in words
        assert "changed most" not in words
        assert "embedding the candidates again (21 texts)" in err

    def test_worse(self, run_cli: RunCli, tmp_path: Path, judged: Path, encoder: Encoder) -> None:
        turned = np.roll(encoder.encode(TEXTS), 10, axis=0)
        folder = write(tmp_path, turned, encoder)
        code, out, _ = run_cli(["verify", folder, "-e", judged, "-q", "--min-cosine", "-1"])
        assert code == 3
        assert "verdict   worse: -" in out
        assert "queries whose nDCG@10 changed most" in out
        assert "[red]chunk[/red]" in out  # a query is no markup
        words = " ".join(out.split())
        assert "does not hold: - the ranking is worse: -" in words
        assert "next: embed the chunks again in a higher precision" in words
        assert "qembed audit" not in words
        assert all(
            len(line) <= 80 for line in out.splitlines() if str(folder) not in line and "- " not in line
        )

    @pytest.mark.parametrize("which", ["folder", "mixed"])
    def test_80_columns(
        self, run_cli: RunCli, request: pytest.FixtureRequest, which: str, judged: Path
    ) -> None:
        place = request.getfixturevalue(which)
        ran = run_cli(["verify", place, "-e", judged, "-q", "--candidates", "15"])
        if which == "mixed":  # NaN, which no search can use
            assert (ran.code, "zero or not finite" in ran.err) == (5, True)
        assert all(len(line) <= 80 for line in ran.out.splitlines() if str(place) not in line)

    def test_keys(self, run_cli: RunCli, folder: Path, judged: Path) -> None:
        document = json.loads(run_cli(["verify", folder, "-e", judged, "--json", "-q"]).out)
        assert set(document["ranking"]) == {field.name for field in fields(Ranking)}
        assert document["ranking"]["comparison"]["verdict"] == "cannot tell"
        text = (REPOSITORY / "docs" / "verify.md").read_text(encoding="utf-8").partition("## JSON")[2]
        inner = [*document["ranking"], *(field.name for field in fields(ChangedQuery))]
        assert [key for key in inner if f"`{key}`" not in text] == []

    @pytest.mark.parametrize("option", ["--candidates", "--measure", "--margin", "--split"])
    def test_without_an_eval_set(self, run_cli: RunCli, folder: Path, option: str) -> None:
        code, _, err = run_cli(["verify", folder, option, "20"])
        assert code == 2
        assert f"{option} needs judged queries: add --eval-set FOLDER" in err


class TestForPipes:
    def test_keys(self, run_cli: RunCli, mixed: Path) -> None:
        code, out, err = run_cli(["verify", mixed, "--json", "-q", "--sample", "30", "-k", "3"])
        document = json.loads(out)
        assert (code, err) == (3, "")
        assert set(document) == {"schema", "holds", *(field.name for field in fields(VerifyReport))}
        assert document["schema"] == "qembed.verify/1"
        assert document["holds"] is False
        assert (document["records"], document["sample"], document["non_finite"]) == (21, 20, 1)
        assert document["overlap"]["k"] == 3
        assert document["reference"]["dtype"] == "fp32"
        assert document["drift"]["min"] == document["worst"][0]["cosine"] < 0.99

    def test_keys_are_documented(self, run_cli: RunCli, folder: Path) -> None:
        document = json.loads(run_cli(["verify", folder, "--json", "-q"]).out)
        text = (REPOSITORY / "docs" / "verify.md").read_text(encoding="utf-8").partition("## JSON")[2]
        inner = [*document["drift"], *document["overlap"], *document["worst"][0]]
        assert [key for key in (*document, *inner) if f"`{key}`" not in text and key != "schema"] == []


class TestOptions:
    def test_each_is_passed_on(self, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: dict[str, Any] = {}

        def verify(embeddings: Path, **more: Any) -> None:
            seen.update(more, embeddings=embeddings)
            raise KeyboardInterrupt

        monkeypatch.setattr("qembed.commands.verify.verify.verify", verify)
        line = "verify out --sample 5 --seed 6 -k 7 --min-cosine .5 -m minilm --revision r --reference bf16 "
        line += "--device cuda:1 --trust-remote-code --code-revision c -q -e set --split dev --candidates 30 "
        line += "--measure MRR@5 --margin .02 --query-precision fp16"
        assert run_cli(line.split()).code == 130
        options = EncoderOptions(
            device="cuda:1", precision="bf16", revision="r", trust_remote_code=True, code_revision="c"
        )
        assert seen.pop("progress") is not None
        assert seen == {
            "embeddings": Path("out"),
            "sample": 5,
            "seed": 6,
            "k": 7,
            "min_cosine": 0.5,
            "model": "minilm",
            "options": options,
            "ranking": RankingOptions(Path("set"), "dev", 30, "MRR@5", 0.02, seed=6, query_precision="fp16"),
        }

    def test_the_help_and_the_docs_name_the_thresholds(self) -> None:
        (option,) = [parameter for parameter in command.params if parameter.name == "min_cosine"]
        said = getattr(option, "help", "")
        text = (REPOSITORY / "docs" / "verify.md").read_text(encoding="utf-8")
        assert "fp32 and int16 .99999" in said
        for dtype, (threshold, _) in THRESHOLDS.items():
            assert dtype in (None, "fp32") or f"{dtype} {threshold:g}".replace(" 0.", " .") in said
            assert f"| {dtype or 'not recorded'} | {threshold:g} |" in text


class TestExitCodes:
    def test_another_model(
        self, run_cli: RunCli, folder: Path, tiny_models: Callable[[str], Path], tiny: Path
    ) -> None:
        code, out, err = run_cli(["verify", folder, "-m", tiny_models("other"), "-q"])
        assert (code, out) == (5, "")
        assert f"{tiny_models('other')} is not the model that made these vectors ({tiny})" in err
        assert "other weights" in err
        assert "Traceback" not in err

    def test_min_cosine(self, run_cli: RunCli, mixed: Path, folder: Path) -> None:
        assert run_cli(["verify", mixed, "-q", "--min-cosine", "-1"]).code == 3  # NaN remains
        assert run_cli(["verify", folder, "-q", "--min-cosine", "0.5"]).code == 0

    @pytest.mark.parametrize(
        "arguments", [["--sample", "0"], ["--min-cosine", "2"], ["-k", "0"], ["--reference", "int8"]]
    )
    def test_usage(self, run_cli: RunCli, folder: Path, arguments: list[str]) -> None:
        assert run_cli(["verify", folder, *arguments]).code == 2

    def test_no_manifest(self, run_cli: RunCli, folder: Path, tmp_path: Path) -> None:
        file = shutil.copy(folder / "docs_embeddings.jsonl", tmp_path)
        code, _, err = run_cli(["verify", file, "-q"])
        assert code == 2
        assert "--model" in err
