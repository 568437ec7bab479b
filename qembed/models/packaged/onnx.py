"""The weights in an ONNX file, dequantised.

An ONNX file is a protobuf message. Its few fields that hold weights are declared here, by the numbers of
onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), and read by the protobuf library, which
comes with qdrant-client; the onnx package is not needed. All other fields are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import CheckFailed

Array: TypeAlias = npt.NDArray[np.float32]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    7: np.dtype("<i8"),
}
"""TensorProto.DataType, as far as weights of an int8 model have it."""

_FIELDS = {  # message -> (field, number, type, repeated)
    "Tensor": [
        ("dims", 1, "INT64", True),
        ("data_type", 2, "INT32", False),
        ("float_data", 4, "FLOAT", True),
        ("int32_data", 5, "INT32", True),
        ("name", 8, "STRING", False),
        ("raw_data", 9, "BYTES", False),
    ],
    "Node": [
        ("input", 1, "STRING", True),
        ("name", 3, "STRING", False),
        ("op_type", 4, "STRING", False),
    ],
    "Graph": [("node", 1, "Node", True), ("initializer", 5, "Tensor", True)],
    "Model": [("graph", 7, "Graph", False)],
}


@dataclass(frozen=True, slots=True)
class OnnxWeights:
    """What an ONNX file of a dynamically quantised transformer holds.

    Attributes:
        tensors: Name -> array as it is stored. A quantised one is ``NAME_quantized`` in int8 or uint8, with
            ``NAME_scale`` and ``NAME_zero_point``.
        products: Name of a linear layer's weight in torch -> name of the quantised matrix that it multiplies
            by, which is stored transposed: (inputs, outputs).
    """

    tensors: dict[str, npt.NDArray[Any]]
    products: dict[str, str]

    def parameters(self, expected: Shapes) -> dict[str, Array]:
        """Every parameter of the torch model in float32.

        Args:
            expected: Name -> shape, as ``state_dict`` of the model has them.

        Raises:
            CheckFailed: One is missing or has another shape, or a quantised matrix belongs to none.
        """
        found = {name: self._parameter(name) for name in expected}
        for name, array in found.items():
            if array is None or array.shape != expected[name]:
                shape = "absent" if array is None else f"{array.shape}"
                raise CheckFailed(f"the parameter {name} is {shape}, expected {expected[name]}")
        used = {self.products.get(name, name) for name in expected}
        for name in self.tensors:
            base = name.removesuffix("_quantized")
            if base != name and base not in used:
                raise CheckFailed(f"the weights {name} belong to no parameter of the model")
        return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}

    def _parameter(self, name: str) -> Array | None:
        if name in self.products:
            matrix = self._dequantised(self.products[name])
            return None if matrix is None else matrix.T
        return self.tensors[name] if name in self.tensors else self._dequantised(name)

    def _dequantised(self, name: str) -> Array | None:
        """``(q - zero) * scale``; scale and zero are one number, or one for each column."""
        parts = [self.tensors.get(f"{name}_{part}") for part in ("quantized", "zero_point", "scale")]
        if any(part is None for part in parts):
            return None
        quantised, zero, scale = (np.asarray(part, np.float32) for part in parts)
        values: Array = (quantised - zero) * scale
        return values


def read_onnx(path: Path) -> OnnxWeights:
    """Read the weights of an ONNX file, and which linear layer each matrix belongs to.

    Raises:
        CheckFailed: It is no ONNX file, or has a tensor of a type that no int8 model has.
    """
    from google.protobuf.message import DecodeError

    try:
        graph = _model_class().FromString(path.read_bytes()).graph
    except DecodeError as error:
        raise CheckFailed(f"this is no ONNX file: {error}", where=str(path)) from None
    products = {
        _weight_name(node.name): node.input[1].removesuffix("_quantized")
        for node in graph.node
        if node.op_type == "MatMulInteger"
    }
    return OnnxWeights({tensor.name: _array(tensor, path) for tensor in graph.initializer}, products)


def _weight_name(node: str) -> str:
    """``/bert/pooler/dense/Gemm_MatMul_quant`` multiplies by ``bert.pooler.dense.weight``."""
    return node.strip("/").rpartition("/")[0].replace("/", ".") + ".weight"


def _array(tensor: Any, path: Path) -> npt.NDArray[Any]:
    dtype = _DTYPES.get(tensor.data_type)
    if dtype is None:
        raise CheckFailed(f"the tensor {tensor.name} has type {tensor.data_type}", where=str(path))
    shape = tuple(tensor.dims)
    if tensor.raw_data:
        return np.frombuffer(tensor.raw_data, dtype).reshape(shape)
    return np.asarray(tensor.float_data or tensor.int32_data, dtype).reshape(shape)


@cache
def _model_class() -> Any:
    """The class of the message ``Model``."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    kinds = FieldDescriptorProto
    file = FileDescriptorProto(name="onnx_weights.proto", package="onnx_weights", syntax="proto2")
    for message, fields in _FIELDS.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = declared.field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".onnx_weights.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind}")
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("onnx_weights.Model"))
