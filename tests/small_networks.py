"""ONNX networks as small as can be, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def recogniser(path: Path, *, first: str = "Conv", nodes: int = 1) -> Path:
    """A tiny recognition network: a strided convolution to 8 numbers, in ONNX."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    rng = np.random.default_rng(0)
    kernel = numpy_helper.from_array(rng.normal(size=(8, 3, 112, 112)).astype(np.float32) * 1e-2, "kernel")
    one = numpy_helper.from_array(np.array(127.5, np.float32), "half")
    small = numpy_helper.from_array(np.array(1 / 128, np.float32), "small")
    scaling = [
        helper.make_node("Sub", ["data", "half"], ["shifted"], name="_minusscalar0"),
        helper.make_node("Mul", ["shifted", "small"], ["scaled"], name="_mulscalar0"),
    ]
    body = [
        helper.make_node("Conv", ["scaled" if first == "Sub" else "data", "kernel"], ["maps"], name="conv0"),
        helper.make_node("Flatten", ["maps"], ["fc1"], name="flatten0"),
    ]
    graph = helper.make_graph(
        (scaling if first == "Sub" else []) + body,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [nodes, 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [nodes, 8])],
        [kernel, one, small],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def detector(path: Path) -> Path:
    """An SCRFD whose anchor at (64, 64) of a white image's stride 32 has a face: nine outputs, two anchors per place, no batch axis."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    tensors, nodes, outputs = [], [], []
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            kernel = np.zeros((2 * width, 3, stride, stride), np.float32)
            bias = np.zeros(2 * width, np.float32)
            if kind == "score":
                kernel[0] = (
                    1.0 / (3 * stride**2) if stride == 32 else 0.0
                )  # white is .996: a score of .996 at every place of stride 32
            elif kind == "bbox":
                bias[:] = 1.0
            else:
                bias[:] = np.tile([-0.5, -0.5, 0.5, -0.5, 0.0, 0.0, -0.5, 0.5, 0.5, 0.5], 2)
            name = f"{kind}{stride}"
            tensors += [numpy_helper.from_array(kernel, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")]
            nodes += [
                helper.make_node("Conv", ["x", f"{name}.w", f"{name}.b"], [f"{name}.maps"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"{name}.maps"], [f"{name}.t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}.t", f"shape{width}"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]))
        tensors.append(numpy_helper.from_array(np.array([-1, width], np.int64), f"shape{width}"))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])], outputs, tensors
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path
