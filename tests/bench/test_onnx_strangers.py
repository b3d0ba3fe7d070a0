"""ONNX files that would loop for ever, outgrow memory, or read other files: one sentence before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facesr.bench.errors import FaceSRError
from facesr.bench.onnxnet import OnnxNet

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def _int(name: str, values: list[int]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def _save(path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> Path:
    model = helper.make_model(helper.make_graph(nodes, "g", [X], [Y], weights), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


def _loop(path: Path) -> Path:
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"]), helper.make_node("Identity", ["v"], ["w"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), condition, helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, []), helper.make_tensor_value_info("w", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return _save(
        path, [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], [numpy_helper.from_array(np.array(True), "yes")]
    )


def _tile(path: Path) -> Path:
    return _save(path, [helper.make_node("Tile", ["x", "n"], ["y"])], [_int("n", [1, 1, 1 << 20, 1 << 20])])


def _fill(path: Path) -> Path:
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    return _save(path, nodes, [_int("n", [1 << 20, 1 << 20, 1, 1])])


def _outside(path: Path) -> Path:
    weight = numpy_helper.from_array(np.zeros((3, 1, 1), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/hostname")
    return _save(path, [helper.make_node("Add", ["x", "w"], ["y"])], [weight])


@pytest.mark.parametrize(
    ("make", "says"),
    [(_loop, "has a loop"), (_tile, "makes a tensor of"), (_fill, "makes a tensor of"), (_outside, "weights in another file")],
)
def test_a_graph_that_might_not_end_is_refused(make: object, says: str, tmp_path: Path) -> None:
    path = make(tmp_path / "net.onnx")  # type: ignore[operator]
    with pytest.raises(FaceSRError, match=says) as caught:
        OnnxNet(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_an_ordinary_graph_runs_and_a_wrong_input_gets_one_sentence(tmp_path: Path) -> None:
    net = OnnxNet(_save(tmp_path / "net.onnx", [helper.make_node("Tile", ["x", "n"], ["y"])], [_int("n", [1, 1, 2, 1])]))
    assert net(np.ones((2, 3, 8, 8), np.float32))[0].shape == (2, 3, 16, 8)
    with pytest.raises(FaceSRError, match=r"cannot be run on an input of shape \(1, 5, 8, 8\)"):
        net(np.ones((1, 5, 8, 8), np.float32))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")
    with pytest.raises(FaceSRError, match="not a regular file"):
        OnnxNet(tmp_path / "net.onnx")
