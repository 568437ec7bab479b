"""The harness of benchmarks/peers.py, with peers that need no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

FAKES = Path(__file__).with_name("fake_peers.py")
TEXTS = [f"{'a' * (number % 7)} text {number}" for number in range(23)]
NAMES = ("common", "peer_list", "peer_rounds", "peers")


@pytest.fixture
def benchmark(scripts):
    """The modules of the benchmark by name; forgotten after the test, their names are common ones."""
    return scripts(*NAMES)


@pytest.fixture
def measure(benchmark, tmp_path):
    """Measure peers over TEXTS: 5 to tune, 3 rounds of 6."""
    list_, rounds = benchmark["peer_list"], benchmark["peer_rounds"]
    plan = rounds.Plan(TEXTS, 5, 3, tmp_path, None, tmp_path)

    def run(*peers):
        made = [list_.Peer(name, adapter, adapters=FAKES, **more) for name, adapter, more in peers]
        return rounds.measure(made, list_.Peer("reference", "Exact", adapters=FAKES), plan)

    return run


def test_every_peer_gets_every_round_and_its_vectors_are_compared(measure):
    right, wrong = measure(("right", "Exact", {}), ("wrong", "Exact", {"options": {"noise": 0.5}}))

    assert not right.trouble
    assert len(right.seconds) == len(wrong.seconds) == 3
    np.testing.assert_allclose(right.cosines, np.ones(18), atol=1e-6)
    assert 0.9 < wrong.cosines.min() < 0.9999
    assert list(right.versions) == ["numpy"]


def test_the_fastest_setting_is_measured(measure):
    settings = [{"seconds_per_text": seconds} for seconds in (0.05, 0.0, 0.02)]

    (peer,) = measure(("peer", "Exact", {"settings": settings}))

    assert peer.setting == {"seconds_per_text": 0.0}


@pytest.mark.parametrize(
    ("adapter", "trouble"),
    [
        ("Absent", "not installed (a_library_that_nobody_has): pip install it"),
        ("Dies", "failed: died"),
        ("FailsLater", "failed: RuntimeError: the kernel is out of order"),
        ("TooFew", "failed: vectors (5, 3), expected (6, 3)"),
        ("NoSuchClass", "failed: died"),
    ],
)
def test_a_peer_that_fails_is_named_and_the_others_go_on(measure, adapter, trouble):
    bad, good = measure(("bad", adapter, {"install": "pip install it"}), ("good", "Exact", {}))

    assert bad.trouble.startswith(trouble)
    assert len(good.seconds) == 3


def test_slices_hold_every_text_that_is_not_for_tuning_once(benchmark, tmp_path):
    plan = benchmark["peer_rounds"].Plan(TEXTS, 4, 5, tmp_path, None, tmp_path)

    positions = [position for start, stop in plan.slices() for position in range(start, stop)]

    assert positions == list(range(4, 23))


@pytest.fixture
def report(benchmark):
    """The report over two rounds of (seconds, mean cosine) for each named peer, 10 texts a round."""
    rounds = benchmark["peer_rounds"]
    listed = {peer.name: peer for peer in benchmark["peer_list"].PEERS}

    def make(figures, trouble=None):
        results = [
            rounds.Measured(listed[name], list(seconds), list(seconds), np.full(20, cosine))
            for name, (seconds, cosine) in figures.items()
        ]
        results += [rounds.Measured(listed[name], trouble=why) for name, why in (trouble or {}).items()]
        return benchmark["peers"].report(results, [(0, 10), (10, 20)], np.full(20, 7), "docs")

    return make


def test_the_report_takes_ratios_within_a_round_and_counts_equal_fidelity_only(report):
    text = report(
        {
            "users' loop": ((4.0, 8.0), 1.0),
            "ST bf16": ((2.0, 4.0), 0.99995),
            "ST ONNX int8": ((0.5, 1.0), 0.97),
            "qembed auto": ((1.0, 2.0), 0.99995),
            "qembed fp32": ((2.0, 2.0), 1.0),
        },
        {"fastembed": "not installed (fastembed): pip install fastembed"},
    )

    rows = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in text.splitlines() if row[:1] == "|"}
    loop = {name: row[3].strip() for name, row in rows.items()}
    fastest = {name: row[4].strip() for name, row in rows.items()}
    assert loop["qembed auto"] == "4.00"
    assert fastest["qembed auto"] == "2.00"  # ST bf16: int8 is faster but not of equal fidelity
    assert "qembed auto: 2.00 times ST bf16" in text
    assert "qembed fp32: 3.00 times users' loop" in text  # of mean cosine >= 0.99999
    assert "- fastembed: not installed (fastembed): pip install fastembed" in text
    assert list(rows)[2:] == ["ST ONNX int8", "qembed auto", "qembed fp32", "ST bf16", "users' loop"]


def test_libraries_and_engines_driven_by_hand_are_told_apart_in_every_class_of_fidelity(report):
    text = report(
        {
            "OpenVINO bf16": ((1.0, 1.0), 0.99995),
            "ST OpenVINO": ((2.0, 2.0), 0.99995),
            "ST fp32": ((4.0, 4.0), 1.0),
            "qembed auto": ((1.0, 1.0), 0.999999),
        }
    )

    assert [line.partition(" of mean")[0] for line in text.splitlines() if line.startswith("- qembed")] == [
        "- qembed auto: 4.00 times ST fp32, the fastest library",
        "- qembed auto: 2.00 times ST OpenVINO, the fastest library",
        "- qembed auto: 1.00 times OpenVINO bf16, the fastest peer",
    ]


def test_a_table_is_padded(benchmark):
    table = benchmark["common"].markdown_table(("", "n"), [("long name", "1"), ("x", "1,000")])

    assert table.splitlines() == [
        "|           |     n |",
        "| --------- | ----: |",
        "| long name |     1 |",
        "| x         | 1,000 |",
    ]


def test_each_name_of_a_peer_is_used_once(benchmark):
    names = [peer.name for peer in benchmark["peer_list"].PEERS]

    assert len(set(names)) == len(names)
    assert all(peer.install or peer.adapter == "Qembed" for peer in benchmark["peer_list"].PEERS)
