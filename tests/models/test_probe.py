"""The probe: one text's vectors recognise a model across processes and precisions, and expose another one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qembed.errors import Mismatch
from qembed.models import Encoder, EncoderOptions
from qembed.models.probe import TEXT, check_probe

CPU = EncoderOptions(device="cpu", precision="fp32")


@pytest.fixture
def prompted(tiny_models: Callable[[str], Path]) -> Path:
    return tiny_models("prompted")


@pytest.fixture
def encoder(prompted: Path) -> Encoder:
    return Encoder.load(str(prompted), CPU)


def test_the_probe_is_the_beginning_of_both_vectors(encoder: Encoder) -> None:
    document, query = encoder.encode([TEXT])[0], encoder.encode([TEXT], "query")[0]
    assert np.allclose(encoder.info.probe, np.concatenate([document[:32], query[:32]]), atol=1e-5)
    assert not np.allclose(document, query)  # each with its prompt


def test_another_process_finds_the_same(encoder: Encoder, prompted: Path) -> None:
    script = (
        "import json\nfrom qembed.models import Encoder, EncoderOptions\n"
        f"encoder = Encoder.load({str(prompted)!r}, EncoderOptions(device='cpu', precision='fp32'))\n"
        "print(json.dumps(encoder.info.probe))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    check_probe(json.loads(done.stdout), "fp32", encoder.info, what="another process")


def test_precisions_agree_as_far_as_they_can(encoder: Encoder, prompted: Path) -> None:
    half = Encoder.load(str(prompted), replace(CPU, precision="fp16"))
    check_probe(encoder.info.probe, "fp32", half.info, what="fp32")
    check_probe(half.info.probe, "fp16", encoder.info, what="fp16")


def test_other_weights_are_another_model(encoder: Encoder, tiny_models: Callable[[str], Path]) -> None:
    other = Encoder.load(str(tiny_models("other")), CPU)
    with pytest.raises(Mismatch, match=r"does not compute what the first worker computed: .* cosine of "):
        check_probe(encoder.info.probe, "fp32", other.info, what="the first worker")


@pytest.mark.parametrize("probe", [(1.0,), (0.0,) * 64, (float("nan"),) * 64])
def test_what_cannot_be_compared_differs(encoder: Encoder, probe: tuple[float, ...]) -> None:
    with pytest.raises(Mismatch):
        check_probe(probe, "fp32", encoder.info, what="x")


def test_files_without_a_probe_are_not_checked(encoder: Encoder) -> None:
    check_probe((), "fp32", encoder.info, what="x")
    check_probe(encoder.info.probe, "fp32", replace(encoder.info, probe=()), what="x")
