"""The command line of upload: what it prints, what it asks, and where the key is never seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from qdrant_stub import QdrantStub, qdrant_stub
from uploads import assert_holds, held, make_embeddings

KEY = "a-very-secret-key"


class Terminal:
    """stdin of somebody who can be asked."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def line(stub: QdrantStub, out: Path) -> list[str]:
    return ["upload", str(out), "--url", stub.url, "--collection", "docs"]


def test_a_summary_for_people(run_cli: Callable, line: Sequence[str], stub: QdrantStub, out: Path) -> None:
    code, printed, told = run_cli(line)
    assert code == 0
    assert_holds(stub, "docs", out)
    assert max(map(len, printed.splitlines()[1:-1])) <= 80  # a path and a command stay whole
    assert "100 of 4 dimensions, all there; 100 read back and compared" in printed
    assert f"docs at {stub.url} (new)" in printed
    address = stub.url.replace("http", "qdrant")
    assert printed.splitlines()[-1] == f"next: qembed search {address}/docs QUESTION --model MODEL"
    assert "sending points (100 points)" in told


def test_json(run_cli: Callable, line: Sequence[str], stub: QdrantStub) -> None:
    stub.fault("503:0", number=1)
    code, printed, _ = run_cli([*line, "--json"])
    document = json.loads(printed)
    assert code == 0
    assert document["schema"] == "qembed.upload/1"
    assert (document["records"], document["sent"], document["retried"]) == (100, 100, 1)
    assert document["next"].startswith("qembed search ")


def test_every_key_of_the_json_is_documented(run_cli: Callable, line: Sequence[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "upload.md").read_text(encoding="utf-8")
    document = json.loads(run_cli([*line, "--json"]).out)
    assert [key for key in document if key != "schema" and f"`{key}`" not in page] == []


def test_a_difference_is_shown_as_a_table(run_cli: Callable, line: Sequence[str], tmp_path: Path) -> None:
    run_cli(line)
    other = make_embeddings(tmp_path / "other", 3, dimension=7)
    code, printed, told = run_cli([*line[:1], str(other), *line[2:]])
    assert (code, printed) == (5, "")
    assert "  dimension  4           7" in told


class TestPrune:
    @pytest.fixture
    def fewer(self, run_cli: Callable, line: list[str], tmp_path: Path) -> list[str]:
        run_cli(line)
        return [line[0], str(make_embeddings(tmp_path / "fewer", 95)), *line[2:], "--prune"]

    def test_where_nobody_can_be_asked(self, run_cli: Callable, fewer: list[str], stub: QdrantStub) -> None:
        before = len(stub.log)
        code, _, told = run_cli(fewer)
        assert code == 2
        assert "add --yes" in told
        assert len(stub.log) == before

    @pytest.mark.parametrize(("of", "pruned"), [("docs", 5), ("new", 0)])
    def test_a_dry_run_counts_and_deletes_nothing(
        self, run_cli: Callable, fewer: list[str], stub: QdrantStub, of: str, pruned: int
    ) -> None:
        line = [of if word == "docs" else word for word in fewer]
        code, printed, _ = run_cli([*line, "--dry-run", "--json"])
        assert code == 0
        (step,) = [step for step in json.loads(printed)["steps"] if step["what"] == "prune"]
        assert step["detail"] == f"{pruned} points whose chunks are no longer in the corpus are deleted"
        assert len(held(stub, "docs")) == 100

    def test_yes(self, run_cli: Callable, fewer: list[str], stub: QdrantStub) -> None:
        code, printed, told = run_cli([*fewer, "--yes"])
        assert code == 0
        assert len(held(stub, "docs")) == 95
        assert "5 points whose chunks are no longer in the corpus:" in told
        assert "  and 2 more" in told
        assert "5 whose chunks are no longer in the corpus" in printed

    @pytest.mark.parametrize(("answer", "left"), [(True, 95), (False, 100)])
    def test_asks(
        self,
        run_cli: Callable,
        fewer: list[str],
        stub: QdrantStub,
        monkeypatch: pytest.MonkeyPatch,
        answer: bool,
        left: int,
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("click.confirm", lambda text, err: asked.append(text) or answer)
        assert run_cli(fewer).code == 0
        assert asked == ["Delete 5 points?"]
        assert len(held(stub, "docs")) == left


class TestKey:
    @pytest.fixture
    def locked_line(self, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> object:
        caplog.set_level(logging.DEBUG)
        with qdrant_stub(api_key=KEY) as stub:
            yield stub, ["upload", str(out), "--url", stub.url, "--collection", "docs"]
            # Whatever happened: the key is in no file that was written, and in no log of any library.
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert files
            assert [path for path in files if KEY.encode() in path.read_bytes()] == []
            assert KEY not in caplog.text

    def test_from_the_environment(
        self, run_cli: Callable, locked_line: tuple, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stub, line = locked_line
        monkeypatch.setenv("QDRANT_API_KEY", KEY)
        stub.fault("400", number=1)  # so that a journal is left
        for arguments in (line, [*line, "--json"], ["--debug", *line]):
            code, printed, told = run_cli(arguments)
            assert KEY not in printed + told
        assert code == 0
        assert all(request.headers["api-key"] == KEY for request in stub.log)
        assert all("api-key" not in request.path and KEY not in str(request.query) for request in stub.log)

    def test_from_a_prompt_that_hides_it(
        self, run_cli: Callable, locked_line: tuple, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stub, line = locked_line
        asked: list[dict] = []
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("click.prompt", lambda text, **how: asked.append(how) or KEY)
        code, printed, told = run_cli(line)
        assert code == 0
        assert asked == [{"hide_input": True, "err": True}]
        assert KEY not in printed + told
        assert len(held(stub, "docs")) == 100

    def test_absent_where_nobody_can_be_asked(self, run_cli: Callable, locked_line: tuple) -> None:
        code, _, told = run_cli(locked_line[1])
        assert code == 4
        assert "the server requires an API key" in told
        assert "QDRANT_API_KEY" in told

    @pytest.mark.parametrize("debug", [[], ["--debug"]])
    def test_wrong(
        self, run_cli: Callable, locked_line: tuple, monkeypatch: pytest.MonkeyPatch, debug: list[str]
    ) -> None:
        monkeypatch.setenv("QDRANT_API_KEY", KEY[:-1] + "?")
        code, printed, told = run_cli([*debug, *locked_line[1]])
        assert code == 4
        assert "the API key is refused" in told
        assert KEY[:-1] not in printed + told

    def test_no_password_in_the_url(self, run_cli: Callable, out: Path) -> None:
        url = f"http://me:{KEY}@localhost:1"
        code, printed, told = run_cli(["upload", str(out), "--url", url, "--collection", "docs"])
        assert code == 2
        assert KEY not in printed + told
