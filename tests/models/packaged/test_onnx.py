"""Weights out of an ONNX file: what an exporter wrote, and what int8 left of it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny_wheels import tiny_wheel

from qembed.errors import CheckFailed
from qembed.models.packaged.onnx import OnnxWeights, read_onnx


def files_of(wheel_folder: Path, kind: str) -> Path:
    return wheel_folder / f"files-{kind}"


def test_reads_what_torch_exports(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(3)
    layer = torch.nn.Linear(5, 3)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no other package is deprecated
        torch.onnx.export(layer, (torch.zeros(1, 5),), buffer, dynamo=False)
    path = tmp_path / "layer.onnx"
    path.write_bytes(buffer.getvalue())
    found = read_onnx(path)
    state = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    expected = {name: array.shape for name, array in state.items()}
    for name, array in found.parameters(expected).items():
        np.testing.assert_array_equal(array, state[name])


@pytest.mark.parametrize("per_column", [False, True])
def test_dequantises_matrices_and_embeddings(tmp_path: Path, per_column: bool) -> None:
    made = tiny_wheel(tmp_path, "reranker", per_column=per_column)
    state = {name: tensor.numpy() for name, tensor in made.network.state_dict().items()}
    found = read_onnx(files_of(tmp_path, "reranker") / "model.onnx")
    parameters = found.parameters({name: array.shape for name, array in state.items()})
    assert parameters.keys() == state.keys()
    for name, array in state.items():
        assert parameters[name].dtype == np.float32
        np.testing.assert_allclose(parameters[name], array, rtol=1e-6, atol=1e-7)


def small(**changes: object) -> OnnxWeights:
    tensors = {
        "w_quantized": np.array([[1, 2, 3], [4, 5, 6]], np.int8),
        "w_zero_point": np.array(1, np.int8),
        "w_scale": np.array(0.5, np.float32),
        "bias": np.zeros(3, np.float32),
    }
    return OnnxWeights({**tensors, **changes}, {"layer.weight": "w"})  # type: ignore[arg-type, dict-item]


def test_a_matrix_is_stored_transposed() -> None:
    found = small().parameters({"layer.weight": (3, 2), "bias": (3,)})
    assert found["layer.weight"].tolist() == [[0.0, 1.5], [0.5, 2.0], [1.0, 2.5]]
    assert found["layer.weight"].flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"layer.weight": (3, 2), "gone": (1,)}, r"gone is absent, expected \(1,\)"),
        ({"layer.weight": (2, 3)}, r"layer.weight is \(3, 2\), expected \(2, 3\)"),
        ({"bias": (3,)}, "w_quantized belong to no parameter"),
    ],
)
def test_what_does_not_fit_is_refused(expected: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        small().parameters(expected)


def test_a_matrix_without_its_scale_is_absent() -> None:
    broken = small()
    del broken.tensors["w_scale"]
    with pytest.raises(CheckFailed, match=r"layer.weight is absent"):
        broken.parameters({"layer.weight": (3, 2)})


def test_a_file_that_is_no_onnx(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(CheckFailed, match="no ONNX file") as caught:
        read_onnx(path)
    assert caught.value.where == str(path)


def test_a_tensor_of_an_unknown_type(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    tensor = b"\x08\x01\x10\x0a\x42\x01t"  # dims 1, FLOAT16, name t
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    path.write_bytes(b"\x3a" + bytes([len(graph)]) + graph)
    with pytest.raises(CheckFailed, match="tensor t has type 10"):
        read_onnx(path)
