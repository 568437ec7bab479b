"""``kill -9`` of a whole run at random moments, then resume: the rows are those of an unbroken run."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import DIMENSION, FakeModel, encode, some_texts

from qembed.engine import Rows, RunPlan

REPOSITORY = Path(__file__).parents[2]
TEXTS = some_texts(1500, seed=5)
PLAN = RunPlan(1000, 64, window_texts=200)

RUN = """
import sys
from pathlib import Path
from fakes import FakeModel, encode, some_texts
from qembed.engine import RunPlan
model = FakeModel(seconds=0.002, limit_tokens=int(sys.argv[3]), late=True)
print("ready", flush=True)
plan = RunPlan(1000, 64, window_texts=200)
encode(some_texts(1500, seed=5), Path(sys.argv[1]), model, workers=int(sys.argv[2]), plan=plan)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(TEXTS, tmp_path_factory.mktemp("unbroken"), plan=PLAN).vectors.tobytes()


def run_until_killed(folder: Path, workers: int, limit: int, seconds: float) -> bool:
    """Whether it came to its end before."""
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(workers), str(limit)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    out, _ = child.communicate(timeout=60)
    return out == "done\n"


def check_kills(
    folder: Path, unbroken: bytes, *, kills: int, workers: int, limit: int, seed: int = 0, longest: float
) -> None:
    randomly, done = random.Random(seed), np.zeros(len(TEXTS), dtype=np.bool_)
    Rows.create(folder, len(TEXTS), DIMENSION)
    for _ in range(kills):
        ended = run_until_killed(folder, workers, limit, randomly.uniform(0, longest))
        rows = Rows(folder, len(TEXTS), DIMENSION)
        now = rows.done()
        assert not (done & ~now).any()  # what is finished stays finished
        done = now
        whole = np.frombuffer(unbroken, dtype=np.float32).reshape(-1, DIMENSION)
        assert (rows.vectors[done] == whole[done]).all()
        if ended:
            assert done.all()
            rows.forget(np.arange(len(TEXTS)))
            done[:] = False
    last = encode(TEXTS, folder, FakeModel(limit_tokens=limit), plan=PLAN)
    assert last.done.all()
    assert last.vectors.tobytes() == unbroken
    assert last.encoded.resumed + last.encoded.texts == len(TEXTS)
    assert sorted(path.name for path in folder.iterdir()) == ["done.u32", "vectors.f32"]


def test_killed_at_random_moments(tmp_path: Path, unbroken: bytes) -> None:
    check_kills(tmp_path, unbroken, kills=5, workers=0, limit=1 << 40, longest=0.25)


def test_killed_with_its_workers_while_batches_are_halved(tmp_path: Path, unbroken: bytes) -> None:
    check_kills(tmp_path, unbroken, kills=3, workers=1, limit=30, longest=0.8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "limit", "longest"), [(0, 1 << 40, 0.6), (0, 30, 0.8), (2, 1 << 40, 1.6), (2, 30, 1.6)]
)
def test_killed_fifty_times(
    tmp_path: Path, unbroken: bytes, workers: int, limit: int, longest: float
) -> None:
    check_kills(tmp_path, unbroken, kills=50, workers=workers, limit=limit, seed=1, longest=longest)


@pytest.mark.parametrize("at", ["vectors", "checksums"])
def test_killed_in_the_middle_of_a_row(tmp_path: Path, unbroken: bytes, at: str) -> None:
    """The order in which pages reach the disk is nobody's to choose: either file may be the newer one."""
    encode(TEXTS, tmp_path, plan=PLAN)
    rows = Rows(tmp_path, len(TEXTS), DIMENSION)
    if at == "vectors":
        rows.vectors[100:300, 2:] = 0
    else:
        rows.checksums[100:300] = 0
    del rows
    again = encode(TEXTS, tmp_path, plan=PLAN)
    assert again.vectors.tobytes() == unbroken
    assert 200 <= again.encoded.texts < 400


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    table = (REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[Tt]est_?[A-Za-z_]+", "".join(re.findall(r"`[^`]*`", table)))) - {"tests"}
    files = list((REPOSITORY / "tests").rglob("*.py"))
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    there = {path.stem for path in files} | set(re.findall(r"(?:def|class) (\w+)", code))
    assert named - there == set()
    assert len(named) > 35
