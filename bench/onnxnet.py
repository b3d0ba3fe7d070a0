"""ONNX files as batched functions of arrays: loaded without telemetry, with a free batch axis, on the processor or a CUDA device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facesr.bench.errors import FaceSRError
from facesr.bench.onnxcheck import check_onnx
from facesr.bench.reading import check_regular

F32 = NDArray[np.float32]


class OnnxNet:
    """An ONNX network of one image input (N, C, H, W) float32, called as ``net(x) -> [outputs]``.

    ``free``: axes of the input that may vary although the file fixes them ('N', 'H', 'W'); right only for networks that are
    convolutional along them. Files whose weights are also listed as inputs (OpenCV Zoo's) are trimmed to the one true input.
    """

    def __init__(self, path: Path, *, free: str = "N", threads: int | None = None) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime >= 1.30 reports its mere import to its makers
        import onnxruntime

        self.path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # the trimmed graphs warn about every weight otherwise
        options.intra_op_num_threads = threads if threads is not None else 1
        available = onnxruntime.get_available_providers()
        providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
        try:
            self._session: Any = onnxruntime.InferenceSession(_trimmed(path, free), options, providers=providers)
        except FaceSRError:
            raise
        except Exception as error:
            raise FaceSRError(f"{path} is no ONNX network that onnxruntime can run ({_first_line(error)})") from None
        entry = self._session.get_inputs()[0]
        self.input_name: str = entry.name
        self.input_shape: tuple[int | None, ...] = tuple(n if isinstance(n, int) and n > 0 else None for n in entry.shape)
        self.output_names: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def __call__(self, x: F32) -> list[F32]:
        """All outputs for ``x`` (N, C, H, W); a file with a batch axis of one is run image by image."""
        if self.input_shape and self.input_shape[0] == 1 and len(x) != 1:
            rows: Sequence[list[F32]] = [self._run(one[None]) for one in x]
            return [np.concatenate(column) for column in zip(*rows, strict=True)]
        return self._run(np.ascontiguousarray(x))

    @property
    def session(self) -> Any:
        """onnxruntime's session, for code that brings its own pre- and post-processing."""
        return self._session

    def _run(self, x: F32) -> list[F32]:
        try:
            outputs: list[F32] = self._session.run(None, {self.input_name: x})
        except Exception as error:  # onnxruntime's own classes, one per status
            raise FaceSRError(f"{self.path} cannot be run on an input of shape {x.shape} ({_first_line(error)})") from None
        return outputs


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _trimmed(path: Path, free: str) -> bytes:
    """The file's bytes with a single input whose ``free`` axes are symbolic and Reshapes that keep the batch axis."""
    import onnx

    check_regular(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        check_onnx(model)
        graph = model.graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        made = {
            name for node in graph.node for name in node.output
        }  # block-quantised weights are computed, and listed all the same
        used = {name for node in graph.node for name in node.input}
        true_inputs = [entry for entry in graph.input if entry.name in used - made - set(weights)]
    except FaceSRError as error:
        raise FaceSRError(f"{path} {error}") from None
    except Exception as error:
        raise FaceSRError(f"{path} is not an ONNX file ({_first_line(error)})") from None
    if len(true_inputs) != 1:
        raise FaceSRError(f"{path} has {len(true_inputs)} inputs; a network of one image input is needed")
    del graph.input[:]
    graph.input.extend(true_inputs)
    axes = graph.input[0].type.tensor_type.shape.dim
    try:
        _unfold_int8(graph, weights)
    except FaceSRError as error:
        raise FaceSRError(f"{path}: {error}") from None
    except Exception as error:
        raise FaceSRError(f"{path} has block-quantised weights that cannot be unfolded ({_first_line(error)})") from None
    fixed_batch = len(axes) == 4 and axes[0].dim_value == 1
    if fixed_batch and _batchable(graph, weights):
        for name, axis in zip("NCHW", axes, strict=True):
            if name in free:
                axis.dim_param = name
        del graph.value_info[:]  # shapes inferred for a batch of one
        for output in graph.output:
            for axis in output.type.tensor_type.shape.dim:
                axis.dim_param = ""
    result: bytes = model.SerializeToString()
    return result


def _unfold_int8(graph: Any, weights: dict[str, Any]) -> None:
    """Turn block-quantised weights into the float32 ones they stand for.

    onnxruntime refuses a block size beside a scale of one element, which OpenCV Zoo's files have, and would dequantise at every run.
    """
    from onnx import numpy_helper

    done = []
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or not set(node.input) <= set(weights):
            continue
        attributes = {a.name: a.i for a in node.attribute}
        axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
        if not block:
            continue
        if block > max(weights[node.input[0]].dims, default=0):
            raise FaceSRError(f"{node.name or 'a node'} has weights in blocks of {block}, more than there are: is the file whole?")
        values, *parameters = (numpy_helper.to_array(weights[name]) for name in node.input)
        scale, zero = (np.repeat(p, block, axis).take(range(values.shape[axis]), axis) for p in parameters)
        tensor = numpy_helper.from_array((values.astype(np.float32) - zero.astype(np.float32)) * scale, node.output[0])
        graph.initializer.append(tensor)
        weights[node.output[0]] = tensor
        done.append(node)
    for node in done:
        graph.node.remove(node)


def _batchable(graph: Any, weights: dict[str, Any]) -> bool:
    """Let Reshapes to [1, ...] of computed values copy the batch axis instead (0 copies); False where a graph needs a batch of one."""
    from onnx import numpy_helper

    computed = {graph.input[0].name}
    shapes: dict[str, Any] = {}
    for node in graph.node:  # ONNX keeps nodes in topological order
        if computed & set(node.input):
            computed |= set(node.output)
        if node.op_type != "Reshape" or node.input[0] not in computed:
            continue
        target = weights.get(node.input[1])
        if target is None:
            return False
        shape = numpy_helper.to_array(target).copy()
        if shape[0] == 1:
            shape[0] = 0
            shapes[node.input[1]] = shape
        elif shape[0] not in (0, -1):
            return False
    for name, shape in shapes.items():
        weights[name].CopyFrom(numpy_helper.from_array(shape, name))
    return True
