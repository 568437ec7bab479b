"""Fits of measured forward passes, what is measured, how cores are split; what is kept on disk."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine.planning.capacity import (
    Capacity,
    ProbePoint,
    Shape,
    choose_threads,
    fit,
    probe,
    probe_shapes,
)
from qembed.engine.planning.capacity_file import (
    CapacityKey,
    capacity_path,
    find_capacity,
    measured_for,
    read_capacities,
    store_capacity,
)

KEY = CapacityKey("Tesla T4", 15_828_320_256, "a/b", "abc", "fp16", "sdpa", "2.10.0", 256, False, 256)
CAPACITY = Capacity(1e9, 150e3, 0.0, 0.01, 1e-5, 0.0)
SHAPES = [(200, 8), (700, 4), (700, 12), (700, 24), (300, 16)]


def points(truth: Capacity, shapes: list[tuple[int, int]], noise: list[float]) -> list[ProbePoint]:
    return [
        ProbePoint(
            padded_tokens=longest * texts,
            texts=texts,
            longest_tokens=longest,
            peak_bytes=int(truth.bytes_of(longest * texts, longest) * (1 + off)),
            seconds=truth.seconds_of(longest * texts, longest) * (1 + off),
        )
        for (longest, texts), off in zip(shapes, noise, strict=True)
    ]


truths = st.builds(
    Capacity,
    fixed_bytes=st.floats(1e8, 2e10),
    bytes_per_token=st.floats(1e4, 5e5),
    bytes_per_token_length=st.one_of(st.just(0.0), st.floats(50, 500)),
    seconds_per_batch=st.floats(1e-3, 0.1),
    seconds_per_token=st.floats(1e-6, 1e-3),
    seconds_per_token_length=st.just(0.0),
)
noises = st.lists(st.floats(-0.01, 0.01), min_size=len(SHAPES), max_size=len(SHAPES))


class TestFit:
    @given(truths)
    def test_finds_the_truth(self, truth: Capacity) -> None:
        found = fit(points(truth, SHAPES, [0.0] * len(SHAPES)))
        for padded, longest in ((2000, 200), (30_000, 700)):
            # A term that moves the points by less than noise may be left out.
            assert found.bytes_of(padded, longest) == pytest.approx(truth.bytes_of(padded, longest), rel=0.12)
            assert found.seconds_of(padded, longest) == pytest.approx(
                truth.seconds_of(padded, longest), rel=0.05
            )

    @given(truths, noises)
    def test_covers_every_point_and_strays_little(self, truth: Capacity, noise: list[float]) -> None:
        measured = points(truth, SHAPES, noise)
        found = fit(measured)
        for point in measured:
            assert found.bytes_of(point.padded_tokens, point.longest_tokens) >= point.peak_bytes * (1 - 1e-9)
            seconds = found.seconds_of(point.padded_tokens, point.longest_tokens)
            assert seconds == pytest.approx(point.seconds, rel=0.06)

    @given(truths, noises, st.integers(1, len(SHAPES)))
    def test_nothing_is_negative_however_few_points(
        self, truth: Capacity, noise: list[float], count: int
    ) -> None:
        found = fit(points(truth, SHAPES, noise)[:count])
        assert min(found.fixed_bytes, found.bytes_per_token, found.bytes_per_token_length) >= 0
        assert min(found.seconds_per_batch, found.seconds_per_token, found.seconds_per_token_length) >= 0
        assert found.bytes_at(500) > 0

    def test_a_square_of_scores_shows_as_a_term_in_the_length(self) -> None:
        truth = Capacity(1e9, 50e3, 250.0, 0.01, 1e-5, 0.0)
        found = fit(points(truth, SHAPES, [0.0] * len(SHAPES)))
        assert found.bytes_per_token_length == pytest.approx(250, rel=0.01)
        assert found.bytes_of(4 * 2000, 2000) == pytest.approx(truth.bytes_of(4 * 2000, 2000), rel=0.01)

    def test_larger_batches_that_seem_to_take_less(self) -> None:
        measured = [ProbePoint(1000, 2, 500, 2_000_000, 0.5), ProbePoint(2000, 4, 500, 1_900_000, 0.1)]
        found = fit(measured)
        assert min(found.fixed_bytes, found.bytes_per_token) >= 0
        assert min(found.seconds_per_batch, found.seconds_per_token) >= 0
        assert found.bytes_at(500) > 0

    def test_two_points(self) -> None:
        found = fit(points(CAPACITY, SHAPES[1:3], [0.0, 0.0]))
        assert found.fixed_bytes == pytest.approx(1e9, rel=1e-6)
        assert found.bytes_per_token == pytest.approx(150e3, rel=1e-6)

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="no forward pass"):
            fit([])

    def test_budget(self) -> None:
        budget = CAPACITY.token_budget(device_memory_bytes=4_300_000_000, longest_tokens=700)
        assert budget == 1_000_000_000 // 150_000
        assert CAPACITY.token_budget(device_memory_bytes=3_350_000_000, longest_tokens=700) == 0


class TestShapes:
    @given(
        st.lists(st.integers(1, 3000), min_size=1, max_size=200),
        st.integers(8, 2048),
        st.integers(1, 40_000),
    )
    def test_rising_with_one_of_equal_lengths(self, lengths: list[int], max_tokens: int, budget: int) -> None:
        shapes = probe_shapes(np.asarray(lengths), max_tokens, budget)
        longest = min(max(lengths), max_tokens)
        padded = [int(shape[0]) * len(shape) for shape in shapes]
        assert padded == sorted(padded)
        assert max(padded) <= max(budget, longest)
        assert all(shape[0] == shape.max() and shape.min() >= 1 for shape in shapes)
        assert any((shape == longest).all() for shape in shapes)
        assert 1 <= len(shapes) <= 4

    def test_of_a_usual_corpus(self) -> None:
        shapes = probe_shapes(np.arange(50, 700), 512, 16_384)
        assert len(shapes) == 4
        assert sum(len(set(shape.tolist())) == 1 for shape in shapes) == 1


class TestProbe:
    def test_each_shape_runs_twice_and_the_second_is_timed(self) -> None:
        clock = iter([10.0, 10.5, 20.0, 22.0])
        peaks = iter([0, 111, 0, 222])
        ran: list[int] = []
        measured = probe(
            lambda shape: ran.append(len(shape)),
            [np.asarray([9, 5]), np.asarray([9, 9, 4])],
            lambda: next(peaks),
            lambda: next(clock),
        )
        assert ran == [2, 2, 3, 3]
        assert measured == [ProbePoint(18, 2, 9, 111, 0.5), ProbePoint(27, 3, 9, 222, 2.0)]

    @pytest.mark.parametrize(
        "error", [MemoryError(), RuntimeError("CUDA error: out of memory")], ids=["host", "cuda"]
    )
    def test_out_of_memory_ends_it_with_what_is_known(self, error: Exception) -> None:
        def forward(shape: Shape) -> None:
            if len(shape) > 2:
                raise error

        shapes = [np.full(size, 10) for size in (1, 2, 3, 4)]
        measured = probe(forward, shapes, lambda: 5, lambda: 0.0)
        assert [point.texts for point in measured] == [1, 2]

    def test_other_errors_pass(self) -> None:
        def forward(_: Shape) -> None:
            raise RuntimeError("shapes do not match")

        with pytest.raises(RuntimeError, match="do not match"):
            probe(forward, [np.asarray([3])], lambda: 0, lambda: 0.0)


class TestThreads:
    def test_the_highest_total_rate(self) -> None:
        assert choose_threads({1: 100.0, 2: 150.0, 4: 200.0}, 4) == (4, 1)
        assert choose_threads({1: 100.0, 2: 210.0, 4: 300.0}, 4) == (2, 2)

    def test_fewer_workers_win_within_five_percent(self) -> None:
        assert choose_threads({1: 100.0, 2: 191.0}, 2) == (1, 2)
        assert choose_threads({1: 100.0, 2: 189.0}, 2) == (2, 1)

    def test_more_threads_than_cores_do_not_count(self) -> None:
        assert choose_threads({1: 1.0, 8: 1000.0}, 2) == (2, 1)
        assert choose_threads({}, 3) == (1, 3)

    @given(st.dictionaries(st.integers(1, 64), st.floats(1, 1e6), min_size=1), st.integers(1, 64))
    def test_no_core_is_given_twice(self, measured: dict[int, float], cores: int) -> None:
        workers, threads = choose_threads(measured, cores)
        assert workers >= 1
        assert 1 <= workers * threads <= cores


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    return capacity_path()


class TestFile:
    def test_where(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        monkeypatch.delenv("QEMBED_CACHE", raising=False)
        assert capacity_path() == tmp_path / "xdg" / "qembed" / "capacity.json"
        monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "own"))
        assert capacity_path() == tmp_path / "own" / "capacity.json"
        monkeypatch.delenv("QEMBED_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert capacity_path() == Path.home() / ".cache" / "qembed" / "capacity.json"

    def test_stored_is_found_by_its_whole_key(self, file: Path) -> None:
        store_capacity(KEY, CAPACITY)
        assert find_capacity(KEY) == CAPACITY
        for field, other in (("max_tokens", 512), ("torch_version", "2.11.0"), ("sharded", True)):
            assert find_capacity(CapacityKey(**{**_fields(KEY), field: other})) is None

    def test_the_newest_of_one_key_stays(self, file: Path) -> None:
        newer = Capacity(2e9, 1.0, 0.0, 0.0, 0.0, 0.0)
        store_capacity(KEY, CAPACITY)
        store_capacity(CapacityKey(**{**_fields(KEY), "dtype": "int8"}), CAPACITY)
        store_capacity(KEY, newer)
        assert measured_for("Tesla T4", "a/b") == {"int8": CAPACITY, "fp16": newer}
        assert measured_for("Tesla T4", "a/c") == {}
        assert len(read_capacities()) == 2

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b'{"version": 1}',
            b'{"version": 99, "entries": []}',
            b'{"version": 1, "entries": [{"key": {}, "capacity": {}}]}',
        ],
    )
    def test_what_makes_no_sense_is_ignored_with_a_note_and_replaced(
        self, file: Path, content: bytes
    ) -> None:
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        notes: list[str] = []
        assert find_capacity(KEY, note=notes.append) is None
        assert len(notes) == 1
        assert str(file) in notes[0]
        store_capacity(KEY, CAPACITY)
        assert find_capacity(KEY, note=notes.append) == CAPACITY
        assert len(notes) == 1

    def test_a_negative_figure_is_not_believed(self, file: Path) -> None:
        store_capacity(KEY, CAPACITY)
        document = json.loads(file.read_text())
        document["entries"][0]["capacity"]["bytes_per_token"] = -1.0
        file.write_text(json.dumps(document))
        assert find_capacity(KEY) is None

    def test_a_folder_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file, not a folder")
        notes: list[str] = []
        store_capacity(KEY, CAPACITY, tmp_path / "cache" / "capacity.json", note=notes.append)
        assert len(notes) == 1

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store_capacity(KEY, CAPACITY)
        before = file.read_bytes()

        def fail(*_: Any) -> Any:
            raise OSError("no space left on device")

        monkeypatch.setattr(Path, "replace", fail)
        notes: list[str] = []
        store_capacity(CapacityKey(**{**_fields(KEY), "dtype": "nf4"}), CAPACITY, note=notes.append)
        assert "no space left" in notes[0]
        assert file.read_bytes() == before
        assert {path.name for path in file.parent.iterdir()} <= {"capacity.json", "capacity.json.lock"}

    def test_who_cannot_have_the_lock_writes_nothing(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qembed.engine.planning.capacity_file._LOCK_SECONDS", 0.01)
        file.parent.mkdir(parents=True)
        notes: list[str] = []
        with FileLock(f"{file}.lock"):
            store_capacity(KEY, CAPACITY, note=notes.append)
        assert not file.exists()
        assert len(notes) == 1

    def test_several_processes_lose_nothing(self, file: Path) -> None:
        context = multiprocessing.get_context("spawn")
        with context.Pool(3) as pool:
            pool.map(_store, [(str(file), number) for number in range(12)])
        assert {entry.key.max_tokens for entry in read_capacities(file)} == set(range(1, 13))


def _store(work: tuple[str, int]) -> None:
    path, number = work
    store_capacity(CapacityKey(**{**_fields(KEY), "max_tokens": number + 1}), CAPACITY, Path(path))


def _fields(key: CapacityKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in CapacityKey.__dataclass_fields__}
