"""What a Kaggle session has, and how it is judged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from qembed import kaggle
from qembed.commands.kaggle import check as kaggle_check
from qembed.commands.kaggle.check import Check, Session, check, hub_reachable, look
from qembed.engine.planning.gpus import Gpu

T4 = Gpu(0, "Tesla T4", 15_828_320_256, (7, 5))
WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]


@pytest.fixture
def session() -> Session:
    return Session(
        on_kaggle=True,
        gpus=(T4, replace(T4, index=1)),
        hub_reachable=True,
        room_bytes=20_000_000_000,
        seconds_left=40_000.0,
        inputs=(kaggle.Collection(Path("/kaggle/input/eco"), 336),),
        versions={"python": "3.12.1"},
    )


def outcomes(checks: Sequence[Check]) -> dict[str, str]:
    return {each.name: each.outcome for each in checks if each.outcome != "ok"}


def found(checks: Sequence[Check], name: str) -> Check:
    return next(each for each in checks if each.name == name)


class TestCheck:
    def test_all_is_well(self, session: Session) -> None:
        checks = check(session, device="cuda:0,cuda:1")
        assert outcomes(checks) == {}
        assert all(each.remedy is None for each in checks)
        assert found(checks, "GPU 1").found == "Tesla T4, 15.83 GB, compute capability 7.5"
        assert found(checks, "input").found == f"{Path('/kaggle/input/eco')} (336 chunk files)"

    def test_every_trouble_has_a_remedy(self, session: Session) -> None:
        bad = Session(False, (), False, 0, 60.0, (), {})
        checks = check(bad, device="cuda", output_bytes=1)
        assert outcomes(checks) == {
            "Kaggle": "failed",
            "GPUs": "failed",
            "model hub": "warning",
            "disk": "failed",
            "session": "warning",
            "input": "failed",
        }
        assert all(each.remedy for each in checks)

    @pytest.mark.parametrize(
        ("gpus", "device", "outcome"),
        [
            (0, "auto", "warning"),
            (0, "cpu", "ok"),
            (0, "cuda", "failed"),
            (1, "auto", None),
            (1, "t4x2", "failed"),
            (1, "cuda:1", "failed"),
            (2, "cuda:1", None),
        ],
    )
    def test_number_of_gpus(self, session: Session, gpus: int, device: str, outcome: str | None) -> None:
        checks = check(replace(session, gpus=session.gpus[:gpus]), device=device)
        named = [each.outcome for each in checks if each.name == "GPUs"]
        assert named == ([outcome] if outcome else [])

    @pytest.mark.parametrize(
        ("memory_bytes", "supported", "outcome"),
        [
            (15_500_000_000, True, "ok"),
            (15_499_999_999, True, "warning"),
            (17_000_000_000, False, "failed"),
        ],
    )
    def test_each_gpu(self, session: Session, memory_bytes: int, supported: bool, outcome: str) -> None:
        gpu = replace(T4, memory_bytes=memory_bytes, supported=supported)
        assert found(check(replace(session, gpus=(gpu,))), "GPU 0").outcome == outcome

    @pytest.mark.parametrize(
        ("reachable", "needed", "outcome"),
        [(True, True, "ok"), (True, False, "ok"), (False, False, "ok"), (False, True, "warning")],
    )
    def test_hub(self, session: Session, reachable: bool, needed: bool, outcome: str) -> None:
        checks = check(replace(session, hub_reachable=reachable), needs_hub=needed)
        assert found(checks, "model hub").outcome == outcome

    @pytest.mark.parametrize(
        ("room", "output", "outcome"),
        [(10**10, 10**10, "ok"), (10**10, 10**10 + 1, "failed"), (10**9, 0, "warning")],
    )
    def test_disk(self, session: Session, room: int, output: int, outcome: str) -> None:
        checks = check(replace(session, room_bytes=room), output_bytes=output)
        assert found(checks, "disk").outcome == outcome

    def test_several_inputs_want_a_name(self, session: Session) -> None:
        two = replace(
            session, inputs=(*session.inputs, kaggle.Collection(Path("/kaggle/input/datasets/me/x"), 1))
        )
        wanted = found(check(two), "input")
        assert wanted.outcome == "failed"
        assert "2 inputs hold chunks" in wanted.found
        assert "336 chunk files" in wanted.found
        assert found(check(two, dataset="me/x"), "input").outcome == "ok"

    def test_unknown_time_is_not_judged(self, session: Session) -> None:
        assert "session" not in {each.name for each in check(replace(session, seconds_left=None))}


class TestLook:
    def test_everything(
        self, tmp_path: Path, write_chunks: WriteChunks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kaggle_check, "find_gpus", lambda: [T4])
        (tmp_path / "kaggle" / "working").mkdir(parents=True)
        folder = write_chunks(tmp_path / "kaggle" / "input" / "eco", {"docs/a": ["t"]})
        seen = look({kaggle.ROOT_VARIABLE: str(tmp_path), "HF_HUB_OFFLINE": "1"})
        assert (seen.on_kaggle, seen.gpus, seen.hub_reachable) == (True, (T4,), False)
        assert seen.inputs == (kaggle.Collection(folder, 1),)
        assert seen.seconds_left is not None
        assert seen.room_bytes > 0
        assert set(seen.versions) == {"python", *kaggle_check.LIBRARIES}
        assert seen.versions["torch"]


class TestHub:
    @pytest.fixture
    def hub(self) -> Iterator[str]:
        """A hub that answers with an error, which is an answer."""

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_error(405)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    def test_any_answer_counts(self, hub: str) -> None:
        assert hub_reachable({"HF_ENDPOINT": hub}, timeout_seconds=30)

    def test_offline_is_not_asked(self, hub: str) -> None:
        assert not hub_reachable({"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "true"}, timeout_seconds=30)

    def test_nobody_there(self) -> None:
        with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            port = server.server_port
        assert not hub_reachable({"HF_ENDPOINT": f"http://127.0.0.1:{port}"}, timeout_seconds=30)

    def test_a_name_server_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        released, ended = threading.Event(), threading.Event()

        def hang(*_: Any, **__: Any) -> None:
            released.wait(60)
            ended.set()
            raise OSError

        monkeypatch.setattr("socket.getaddrinfo", hang)
        assert not hub_reachable({"HF_ENDPOINT": "http://hub.invalid"}, timeout_seconds=0.05)
        assert not ended.is_set()
        released.set()
        assert ended.wait(60)
