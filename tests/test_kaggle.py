"""What is special on Kaggle, on a root of its own: inputs, output, model cache, GPUs, the archive."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qembed import kaggle
from qembed.errors import InputNotFound, QembedError, UsageError

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]
NOT_KAGGLE: dict[str, str] = {kaggle.ROOT_VARIABLE: "/no/such/root"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("input", "working"):
        (tmp_path / "kaggle" / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def inputs(root: Path) -> Path:
    return root / "kaggle" / "input"


@pytest.fixture
def environ(root: Path) -> dict[str, str]:
    return {kaggle.ROOT_VARIABLE: str(root), "HOME": str(root / "home")}


def test_where_one_is(environ: dict[str, str], root: Path) -> None:
    assert kaggle.kaggle_root({}) == Path("/")
    assert kaggle.working(root) == root / "kaggle" / "working"
    assert kaggle.on_kaggle(environ)
    assert kaggle.on_kaggle({**NOT_KAGGLE, kaggle.RUN_TYPE_VARIABLE: "Batch"})
    assert not kaggle.on_kaggle(NOT_KAGGLE)


class TestFindInput:
    @pytest.mark.parametrize(
        ("mount", "collection"),
        [
            ("datasets/me/eco", ""),
            ("eco", ""),
            ("datasets/me/eco", "output/qdrant_ecosystem"),
            ("eco", "output/qdrant_ecosystem"),
            ("eco", "a/b/c/qdrant_ecosystem"),
            ("notebooks/me/run", "qdrant_ecosystem"),
            ("competitions/retrieval", "train"),
        ],
    )
    @pytest.mark.parametrize("subdirectories", [("docs",), ("docs", "code")])
    def test_walks_down_to_the_collection(
        self,
        inputs: Path,
        root: Path,
        write_chunks: WriteChunks,
        mount: str,
        collection: str,
        subdirectories: Sequence[str],
    ) -> None:
        folder = inputs / mount / collection
        write_chunks(folder, {f"{name}/page": ["text"] for name in subdirectories})
        assert kaggle.find_input(None, root) == folder
        assert kaggle.find_inputs(root) == [kaggle.Collection(folder, len(subdirectories))]

    @pytest.mark.parametrize("mount", ["eco", "datasets/me/eco", "notebooks/me/eco", "competitions/eco"])
    def test_chunk_files_in_the_mount_itself(
        self, inputs: Path, root: Path, write_chunks: WriteChunks, mount: str
    ) -> None:
        write_chunks(inputs / mount, {"a": ["text"], "deep/er/b": ["text"]})
        assert kaggle.find_inputs(root) == [kaggle.Collection(inputs / mount, 2)]

    def test_one_file_a_subdirectory(self, inputs: Path, root: Path) -> None:
        for name in ("docs", "code"):
            file = inputs / "eco" / "output" / name / "chunks.json"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps({"chunks": [{"content": "text"}]}))
        assert kaggle.find_input(None, root) == inputs / "eco" / "output"

    def test_beside_files_that_only_look_like_chunks(
        self, inputs: Path, root: Path, write_chunks: WriteChunks
    ) -> None:
        write_chunks(inputs / "eco" / "output", {"docs/page": ["text"]})
        (inputs / "eco" / "dataset-metadata.json").write_text('{"title": "eco"}')
        model = inputs / "bert"
        model.mkdir()
        (model / "config.json").write_text('{"hidden_size": 32}')
        (model / "special_tokens.json").write_text('["[CLS]"]')
        (model / "empty.jsonl").write_text("")
        assert kaggle.find_inputs(root) == [kaggle.Collection(inputs / "eco" / "output", 1)]

    def test_files_of_any_name_count_where_they_hold_chunks(self, inputs: Path, root: Path) -> None:
        (inputs / "eco" / "all").mkdir(parents=True)
        (inputs / "eco" / "readme.json").write_text('{"about": "chunks"}')
        (inputs / "eco" / "all" / "part1.jsonl").write_text('{"bad": 1}\n{"text": "a chunk"}\n')
        assert kaggle.find_inputs(root) == [kaggle.Collection(inputs / "eco", 1)]

    def test_models_and_vectors_are_no_inputs(
        self, inputs: Path, root: Path, write_chunks: WriteChunks
    ) -> None:
        write_chunks(inputs / "models" / "owner" / "eco", {"docs/page": ["text"]})
        vectors = inputs / "datasets" / "me" / "vectors"
        vectors.mkdir(parents=True)
        (vectors / "eco_embeddings.jsonl").write_text('{"id": "1", "text": "t", "embedding": [1]}\n')
        assert kaggle.find_inputs(root) == []

    def test_several_beir_folders_are_several_collections(self, inputs: Path, root: Path) -> None:
        for name in ("nfcorpus", "scifact"):
            (inputs / "beir" / name).mkdir(parents=True)
            for file in ("corpus", "queries"):
                (inputs / "beir" / name / f"{file}.jsonl").write_text('{"_id": "1", "text": "t"}\n')
        beir = inputs / "beir"
        assert kaggle.find_inputs(root) == [
            kaggle.Collection(beir / "nfcorpus", 1),
            kaggle.Collection(beir / "scifact", 1),
        ]
        assert kaggle.find_input("scifact", root) == beir / "scifact"

    def test_several_are_listed_with_a_remedy(
        self, inputs: Path, root: Path, write_chunks: WriteChunks
    ) -> None:
        one = write_chunks(inputs / "datasets" / "me" / "one", {"docs/a": ["t"], "docs/b": ["t"]})
        two = write_chunks(inputs / "datasets" / "you" / "two" / "out", {"docs/a": ["t"]})
        with pytest.raises(InputNotFound) as caught:
            kaggle.find_input(None, root)
        assert caught.value.message == "2 inputs hold chunks"
        assert caught.value.where == f"{one} (2 chunk files); {two} (1 chunk files)"
        assert caught.value.remedy == f"name one: qembed embed {one}"

    @pytest.mark.parametrize("name", ["one", "me/one", "datasets/me/one", "me/one/", "me"])
    def test_a_name_narrows(self, inputs: Path, root: Path, write_chunks: WriteChunks, name: str) -> None:
        one = write_chunks(inputs / "datasets" / "me" / "one", {"docs/a": ["t"]})
        write_chunks(inputs / "datasets" / "you" / "two", {"docs/a": ["t"]})
        assert kaggle.find_input(name, root) == one

    @pytest.mark.parametrize("name", ["on", "three", "e/one"])
    def test_a_name_that_none_has(
        self, inputs: Path, root: Path, write_chunks: WriteChunks, name: str
    ) -> None:
        one = write_chunks(inputs / "datasets" / "me" / "one", {"docs/a": ["t"]})
        with pytest.raises(InputNotFound, match="is called") as caught:
            kaggle.find_input(name, root)
        assert caught.value.where == f"{one} (1 chunk files)"

    def test_nothing_there(self, root: Path) -> None:
        with pytest.raises(InputNotFound, match="no input of this notebook holds chunks") as caught:
            kaggle.find_input(None, root)
        assert "Add Input" in (caught.value.remedy or "")
        assert kaggle.find_inputs(root / "absent") == []


class TestDefaults:
    def test_both_are_found(
        self, environ: dict[str, str], inputs: Path, root: Path, write_chunks: WriteChunks
    ) -> None:
        folder = write_chunks(inputs / "eco", {"docs/a": ["t"]})
        found = kaggle.defaults(None, None, environ)
        assert (found.input, found.output) == (folder, root / "kaggle" / "working")
        assert [str(folder) in found.notes[0], str(found.output) in found.notes[1]] == [True, True]

    def test_what_is_given_stays(self, environ: dict[str, str], tmp_path: Path) -> None:
        given = kaggle.Defaults(tmp_path, tmp_path / "out")
        assert kaggle.defaults(tmp_path, tmp_path / "out", environ) == given
        absent = tmp_path / "absent"
        assert kaggle.defaults(absent, tmp_path, environ).input == absent  # reading it says what is wrong

    def test_a_relative_folder_that_exists_is_no_name(
        self, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "eco").mkdir()
        monkeypatch.chdir(tmp_path)
        assert kaggle.defaults(Path("eco"), tmp_path, environ).input == Path("eco")

    def test_a_name(
        self,
        environ: dict[str, str],
        inputs: Path,
        write_chunks: WriteChunks,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        one = write_chunks(inputs / "datasets" / "me" / "one", {"docs/a": ["t"]})
        write_chunks(inputs / "datasets" / "me" / "two", {"docs/a": ["t"]})
        assert kaggle.defaults(Path("me/one"), None, environ).input == one
        with pytest.raises(InputNotFound, match="2 inputs"):
            kaggle.defaults(None, None, environ)

    def test_elsewhere(self, tmp_path: Path) -> None:
        given = kaggle.Defaults(Path("in"), tmp_path)
        assert kaggle.defaults(Path("in"), tmp_path, NOT_KAGGLE) == given
        with pytest.raises(UsageError, match="'INPUT'"):
            kaggle.defaults(None, tmp_path, NOT_KAGGLE)
        with pytest.raises(UsageError, match="'--output'"):
            kaggle.defaults(Path("in"), None, NOT_KAGGLE)


class TestModelCache:
    @pytest.mark.parametrize(
        "variables",
        [
            {"HF_HOME": "kaggle/working/hf"},
            {"HF_HUB_CACHE": "kaggle/working/hf/hub"},
            {"HF_HOME": "elsewhere", "HUGGINGFACE_HUB_CACHE": "kaggle/working"},
            {"XDG_CACHE_HOME": "kaggle/working/.cache"},
            {"HOME": "kaggle/working"},
        ],
        ids=str,
    )
    def test_out_of_working(self, environ: dict[str, str], root: Path, variables: dict[str, str]) -> None:
        environ |= {name: str(root / value) for name, value in variables.items()}
        note = kaggle.keep_model_cache_out(environ)
        assert note is not None
        assert str(kaggle.model_cache(root)) in note
        assert environ["HF_HOME"] == str(root / "kaggle" / "temp" / "huggingface")
        assert not {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} & set(environ)
        assert kaggle.keep_model_cache_out(environ) is None

    def test_the_hub_goes_there(self, environ: dict[str, str], root: Path) -> None:
        from huggingface_hub import constants

        environ["HF_HUB_CACHE"] = str(root / "kaggle" / "working")
        kaggle.keep_model_cache_out(environ)
        again = subprocess.run(
            [
                sys.executable,
                "-c",
                "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)",
            ],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert Path(again.stdout.strip()) == kaggle.model_cache(root) / Path(constants.HF_HUB_CACHE).name

    @pytest.mark.parametrize(
        "variables", [{}, {"HF_HOME": "kaggle/temp/mine"}, {"HF_HUB_CACHE": "hub"}], ids=str
    )
    def test_any_other_place_stays(
        self, environ: dict[str, str], root: Path, variables: dict[str, str]
    ) -> None:
        environ |= {name: str(root / value) for name, value in variables.items()}
        before = dict(environ)
        assert kaggle.keep_model_cache_out(environ) is None
        assert environ == before

    def test_elsewhere_nothing_changes(self) -> None:
        environ = {**NOT_KAGGLE, "HF_HOME": "/no/such/root/kaggle/working"}
        assert kaggle.keep_model_cache_out(environ) is None


class TestGpus:
    @pytest.mark.parametrize(
        ("device", "asked"),
        [
            ("auto", 0),
            ("cpu", 0),
            ("cpu,cpu", 0),
            ("cpu:2", 0),
            ("mps", 0),
            ("cuda", 1),
            ("cuda:0", 1),
            ("cuda:1", 2),
            ("cuda:0,cuda:1", 2),
            ("cuda:1, cpu", 2),
            ("t4", 1),
            ("t4x2", 2),
            ("T4x2", 2),
            ("p100", 1),
        ],
    )
    def test_how_many_are_asked_for(self, device: str, asked: int) -> None:
        assert kaggle.gpus_asked(device) == asked


class TestRoomAndTime:
    def test_of_20_gb(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert kaggle.room_bytes(root / "absent") == 0
        (root / "kaggle" / "working" / "deep").mkdir()
        (root / "kaggle" / "working" / "deep" / "file").write_bytes(b"x" * 1000)
        usage = type("Usage", (), {"free": 10**15})
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        assert kaggle.room_bytes(root) == 20_000_000_000 - 1000
        usage.free = 5  # type: ignore[attr-defined]
        assert kaggle.room_bytes(root) == 5

    def test_sparse_files_larger_than_the_room(self, root: Path) -> None:
        with (root / "kaggle" / "working" / "file").open("wb") as file:
            file.truncate(21_000_000_000)
        assert kaggle.room_bytes(root) == 0

    def test_time(self, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        assert kaggle.seconds_left(NOT_KAGGLE) is None
        began = 1_000_000.0
        monkeypatch.setattr("psutil.Process", lambda pid: type("P", (), {"create_time": lambda _: began})())
        for passed, left in ((0.0, 43200.0), (3600.0, 39600.0), (50_000.0, 0.0)):
            monkeypatch.setattr("time.time", lambda passed=passed: began + passed)
            assert kaggle.seconds_left(environ) == left

    @pytest.mark.parametrize(
        ("left", "asked", "limit"),
        [
            (None, None, None),
            (None, 7.0, 7.0),
            (7200.0, None, 5400.0),
            (7200.0, 9000.0, 5400.0),
            (7200.0, 600.0, 600.0),
            (100.0, None, 60.0),
        ],
    )
    def test_limit_of_what_is_left(
        self, monkeypatch: pytest.MonkeyPatch, left: float | None, asked: float | None, limit: float | None
    ) -> None:
        monkeypatch.setattr(kaggle, "seconds_left", lambda _: left)
        assert kaggle.time_limit(asked) == limit


class TestZip:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        named = {
            "eco_embeddings.jsonl": b'{"embedding": [0.1, 0.2, 0.3]}\n' * 100_000,
            "eco_embedding_summary.json": b"{}",
            "eco.parquet": b"\0" * 1000,
        }
        for name, content in named.items():
            (tmp_path / name).write_bytes(content)
        return [tmp_path / name for name in named]

    def test_holds_the_files(self, files: list[Path]) -> None:
        archive = kaggle.zip_output(files)
        assert archive == files[0].parent / "eco_embeddings.zip"
        with zipfile.ZipFile(archive) as zipped:
            assert zipped.namelist() == [file.name for file in files]
            assert zipped.testzip() is None
            for file in files:
                assert zipped.read(file.name) == file.read_bytes()
            assert zipped.getinfo("eco.parquet").compress_type == zipfile.ZIP_STORED
        assert archive.stat().st_size < files[0].stat().st_size / 10

    def test_beyond_the_limits_of_old_archives(
        self, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
        with zipfile.ZipFile(kaggle.zip_output(files, tmp_path / "all.zip")) as zipped:
            assert zipped.testzip() is None
            assert zipped.getinfo(files[0].name).file_size == files[0].stat().st_size

    def test_whole_or_not_at_all(self, files: list[Path], tmp_path: Path) -> None:
        archive = kaggle.zip_output(files)
        before = archive.read_bytes()
        with pytest.raises(QembedError) as caught:
            kaggle.zip_output([*files, tmp_path / "absent.json"])
        assert "absent.json" in (caught.value.where or "")
        assert archive.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [archive.name, *(file.name for file in files)]
        )

    def test_no_files(self) -> None:
        with pytest.raises(UsageError, match="no files"):
            kaggle.zip_output([])
