"""``qembed plan``: the verdict, the comparison, every term; JSON; exit codes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.plan.view import _shell_lines, _span

Run = Callable[..., Any]
WriteChunks = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def eco(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    # Long enough that reading the weights does not decide.
    texts = [f"vector search {number} " * 100 for number in range(30)]
    pages = {"docs/a": ["Home Docs", "Filtering by payload"], "docs/b": ["Home Docs", *texts]}
    return write_chunks(tmp_path / "eco", pages)


def flat(text: str) -> str:
    return " ".join(text.split())


class TestTable:
    def test_the_verdict_comes_first(self, eco: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["plan", eco, "--device", "t4x2"])
        assert code == 0
        first, second = out.splitlines()[:2]
        assert first == "nomic-ai/nomic-embed-code in fp16 on 2 x Tesla T4, 2 workers, one on each."
        assert second.startswith("32 unique texts of 33 chunks: ")
        assert "--precision fp16 --memory-buffer 0." in flat(out.replace("\\\n", " "))
        assert "GB are left free on each device instead of the usual 2 GB; nf4 would fit" in flat(out)
        assert "qembed verify" in out
        assert "reading chunks" in err

    def test_it_fits_80_columns(self, eco: Path, run_cli: Run) -> None:
        for device in ("t4x2", "h100x4", "cpu"):
            for model in ("nomic-embed-code", "minilm"):
                out = run_cli(["plan", eco, "--device", device, "--model", model]).out
                paths = [line for line in out.splitlines() if str(eco) in line]
                assert max(len(line) for line in out.splitlines() if line not in paths) <= 80

    def test_every_precision_with_its_reason(self, eco: Path, run_cli: Run) -> None:
        out = run_cli(["plan", eco, "--device", "t4x2"]).out
        rows = {tuple(line.split()[:3]): line for line in out.splitlines()}
        assert "no: 12.75 GB short" in rows["fp32", "2", "28.28"]
        assert "no: only emulated" in rows["bf16", "2", "14.14"]
        assert "only with" in rows[">", "fp16", "2"]
        assert "take turns" in rows["fp16", "1", "on"]
        assert "slower than fp16" in rows["int8", "2", "7.62"]
        assert "unpacked" in rows["nf4", "2", "4.46"]

    def test_every_term(self, eco: Path, run_cli: Run) -> None:
        out = flat(run_cli(["plan", eco, "--device", "t4x2", "--precision", "nf4"]).out)
        for term in (
            "15.83 GB one Tesla T4",
            "-4.46 GB weights (the catalog)",
            "-0.30 GB CUDA context",
            "-2.00 GB left free (--memory-buffer)",
            "-0.14 GB one matrix unpacked to fp16",
            "=8.94 GB for one batch, without logits",
            "142.3 kB states of a layer",
            "memory-efficient attention",
            "padded tokens fit into a batch",
            "33 chunks, 3% are exact duplicates",
            "an ESTIMATE",
            "loading (assumed 0.1 to 1 GB/s",
            "download (assumed 20 to 200 MB/s)",
            "start-up (",
            "65 TFLOP/s, of which 25% to 55% are reached (assumed)",
            "nf4 at 60% to 95% of fp16 (assumed)",
            "as JSONL",
            "one session of 12 h is enough; 20 GB of disk are enough",
        ):
            assert term in out, term

    def test_the_figure_of_the_mission(self, eco: Path, run_cli: Run) -> None:
        arguments = ["plan", eco, "--device", "t4x2", "--model-gb", "6.8", "--chunk-gb", "0.15"]
        out = flat(run_cli(arguments).out)
        assert "46 texts = (15.83 GB - 6.80 GB - 2.00 GB) / 0.15 GB per chunk, capped to 24" in out

    def test_the_models_own_tokenizer_is_no_estimate(self, eco: Path, tiny: Path, run_cli: Run) -> None:
        out = run_cli(["plan", eco, "--device", "t4", "--model", tiny]).out
        assert "ESTIMATE" not in out

    def test_names_are_not_markup(self, tmp_path: Path, write_chunks: WriteChunks, run_cli: Run) -> None:
        folder = write_chunks(tmp_path / "[red]eco", {"docs/a": ["a text"]})
        code, out, _ = run_cli(["plan", folder, "--device", "t4"])
        assert code == 0
        assert "[red]eco" in out


class TestCommand:
    def test_the_line_repeats_what_was_asked(self, eco: Path, run_cli: Run) -> None:
        asked = ["--max-length", "128", "--truncate-dim", "512", "--max-batch", "8", "--limit", "3"]
        asked_for = ["--precision", "fp16", "--shard"]
        out = run_cli(["plan", eco, "--device", "t4x2", "--json", *asked_for, *asked]).out
        line = shlex.split(json.loads(out)["command"])
        assert line[:3] == ["qembed", "embed", str(eco)]
        assert "--shard" in line
        for option, value in zip(asked[::2], asked[1::2], strict=True):
            assert line[line.index(option) + 1] == value

    def test_several_lines_are_one_command(self) -> None:
        words = ["qembed", "embed", "a folder/with spaces", *["--option", "value"] * 12]
        lines = list(_shell_lines(words))
        assert len(lines) > 1
        assert max(map(len, lines)) <= 80
        assert [line.endswith(" \\") for line in lines] == [True] * (len(lines) - 1) + [False]
        assert shlex.split("\n".join(lines).replace("\\\n", "")) == words

    def test_no_word_is_lost_when_nothing_fits(self) -> None:
        assert "".join(_shell_lines([])).strip() == ""


class TestJson:
    def test_every_term(self, eco: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["plan", eco, "--device", "t4x2", "--json"])
        document = json.loads(out)
        assert code == 0
        assert document["chosen"]["precision"] == "fp16"
        assert {each["precision"] for each in document["candidates"]} == {
            "fp32",
            "fp16",
            "bf16",
            "int8",
            "nf4",
        }
        assert document["device"]["memory_bytes"] == 15_828_320_256
        assert document["corpus"]["unique_texts"] == 32
        assert document["chosen"]["forward"]["states_per_token"] == 142_336
        assert document["chosen"]["context_bytes"] == 300_000_000
        assert document["chosen"]["buffer_bytes"] < 1_000_000_000
        for key in ("why", "seconds", "other_seconds", "disk", "kaggle", "notes"):
            assert document[key], key


class TestExitCodes:
    def test_nothing_fits(self, eco: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["plan", eco, "--device", "t4", "--precision", "fp32"])
        assert code == 3
        assert "does not run on Tesla T4" in out
        assert "Next: --precision fp16 --memory-buffer 0." in out
        asked = ["--precision", "fp16", "--memory-buffer", "2"]
        code, out, _ = run_cli(["plan", eco, "--device", "t4", *asked])
        assert code == 3
        assert "only with --memory-buffer 0." in flat(out)

    def test_usage(self, eco: Path, run_cli: Run) -> None:
        code, _, err = run_cli(["plan", eco, "--device", "t5"])
        assert code == 2
        assert "one of t4, p100, l4, a100, a100-80gb, h100" in err
        assert run_cli(["plan", eco, "--device", "t4", "--model-gb", "6.8"]).code == 2
        assert run_cli(["plan", eco / "nowhere", "--device", "t4"]).code == 2

    def test_no_such_model(self, eco: Path, run_cli: Run) -> None:
        assert run_cli(["plan", eco, "--device", "t4", "--model", "nobody/no-such-model"]).code == 4


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "unknown"),
        ((0.1, 0.4), "under 1 s"),
        ((3.0, 90.0), "3 to 90 s"),
        ((60.0, 240.0), "1 to 4 min"),
        ((600.0, 3600.0), "10 to 60 min"),
        ((3600.0, 36_000.0), "1.0 to 10.0 h"),
        ((5400.0, 5400.0), "90 min"),
    ],
)
def test_spans_of_time(seconds: tuple[float, float] | None, shown: str) -> None:
    assert _span(seconds) == shown


class TestRealData:
    def test_the_mission(self, real_data: Path, run_cli: Run) -> None:
        arguments = ["plan", real_data / "qdrant_ecosystem", "--device", "t4x2", "--json"]
        document = json.loads(run_cli(arguments).out)
        assert document["corpus"]["unique_texts"] == 5034
        # 1,230,907 by the vocabulary itself.
        low, high = document["corpus"]["tokens_range"]
        assert low < 1_230_907 < high
        assert document["chosen"]["padding_waste"] < 0.03
        assert document["kaggle"] == {"hours": "yes", "disk": "yes", "sessions": 1}
