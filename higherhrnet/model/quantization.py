"""A float32 .onnx to INT8 in QDQ form, for ONNX Runtime and OpenVINO; with signed activations, for TensorRT.

Weights are symmetric, a scale per output channel; activations have one static range over all calibration inputs, which
are of all shapes and both passes: min-max. Weights take 7 bits by default: on CPUs without VNNI, ONNX Runtime's and
OpenVINO's kernels add pairs of products in 16 bits, which 8-bit weights overflow, and the network falls apart. The
layers that make the outputs stay float32, see ``heads``; so do sums.

onnxruntime.quantization places the Q and DQ nodes; ranges are measured here, on the graph that ONNX Runtime optimises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, version_converter

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS
from higherhrnet.model.ort import onnxruntime

OPSET = 13
"""The first whose QuantizeLinear and DequantizeLinear know a scale per channel."""
VERSION = 1
"""Of what is quantized and how; to be increased when equal ranges give another file."""
CPU, TENSORRT = "cpu", "tensorrt"
"""Unsigned asymmetric activations, fast on CPUs; signed symmetric ones, all that TensorRT takes."""
WEIGHT_BITS = (7, 8)
HEADS = "heads"
"""Names the layers that always stay float32, for those who ask for it."""

_OPERATORS = frozenset({"Add", "Concat", "Conv", "ConvTranspose", "Relu", "Resize"})
_WEIGHTED = frozenset({"Conv", "ConvTranspose"})
_QUANTIZED = ("Conv", "ConvTranspose", "Relu", "Resize")
# Sums stay float32: in 8 bits they made a third of the error of the demo network's tags, and saved no time.
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}  # of the weights' output channels
_MIN, _MAX = "/lowest", "/highest"  # end the names of the outputs that calibration adds

Ranges = Mapping[str, tuple[float, float]]
"""The smallest and largest value of each tensor that may be quantized, by name."""


@dataclass(frozen=True)
class Scheme:
    """How a network is quantized."""

    target: str = CPU
    weight_bits: int = 7
    keep_float: tuple[str, ...] = ()
    """Names of nodes that stay float32, beside ``heads``."""


def load(path: Path) -> onnx.ModelProto:
    """A float32 network of ours at opset OPSET, with its metadata.

    Raises
    ------
    UserError : a file that is no ONNX model, one that is quantized already or of another kind of network
    """
    try:
        sources.open_file(path).close()
        model = onnx.load(path)
        onnx.checker.check_model(model)
        if _opset(model) != OPSET:
            converted = version_converter.convert_version(model, OPSET)
            del converted.metadata_props[:]
            converted.metadata_props.extend(model.metadata_props)
            model = converted
    except OSError as e:
        raise UserError(
            f"cannot read model {path}: {e.strerror}; run HigherHRNet_pth2onnx.py or correct the path"
        ) from e
    except Exception as e:  # protobuf's, the checker's and the converter's derive from it alone
        raise UserError(
            f"model {path} is not an ONNX file that can be quantized ({' '.join(str(e).split())[:160]}); export it "
            f"with HigherHRNet_pth2onnx.py"
        ) from e
    kinds = {node.op_type for node in model.graph.node}
    if "QuantizeLinear" in kinds or "DequantizeLinear" in kinds:
        raise UserError(f"model {path} is quantized already; give the float32 .onnx that it was made from")
    if foreign := sorted(kinds - _OPERATORS):
        raise UserError(
            f"model {path}: found nodes of {', '.join(foreign)[:80]}, expected only {', '.join(sorted(_OPERATORS))}; "
            f"export it with HigherHRNet_pth2onnx.py"
        )
    if [i.name for i in model.graph.input] != [INPUT] or tuple(o.name for o in model.graph.output) != OUTPUTS:
        raise UserError(
            f"model {path}: expected input {INPUT} and outputs {', '.join(OUTPUTS)}; export it with "
            f"HigherHRNet_pth2onnx.py"
        )
    return model


def _opset(model: onnx.ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)


def batch_of(model: onnx.ModelProto) -> int:
    """The batch size that a model takes; 1 where it takes any."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1


def layers(model: onnx.ModelProto) -> list[str]:
    """The names of the layers with weights, in the order of the graph."""
    return [node.name for node in model.graph.node if node.op_type in _WEIGHTED]


def heads(model: onnx.ModelProto) -> list[str]:
    """The nodes from the first output to the transposed convolution, and those that make the outputs.

    A tensor of heatmaps (0 to 1) and tags (tens) has one scale: in 8 bits the heatmaps would have a few levels, and
    tags steps of a tenth. The last layers take 1 to 3 % of the network's operations.
    """
    makers = {node.output[0]: node for node in model.graph.node}
    found = {makers[output].name for output in OUTPUTS}
    carriers = list(OUTPUTS)
    while carriers:
        tensor = carriers.pop()
        for node in model.graph.node:
            if tensor in node.input and node.op_type in {"Concat", "ConvTranspose"}:
                found.add(node.name)
                carriers.append(node.output[0])
    return [node.name for node in model.graph.node if node.name in found]


def block_of(name: str) -> str:
    """The block of the network that a layer belongs to: 'stage3/stage3.1' of '/stage3/stage3.1/branches.0/...'."""
    return "/".join(name.strip("/").split("/")[:2])


def named(model: onnx.ModelProto, names: Iterable[str]) -> list[str]:
    """The layers that have these names, or names that begin so; HEADS are those that always stay float32.

    Raises
    ------
    UserError : a name that no layer has
    """
    found: set[str] = set()
    every = layers(model)
    for name in names:
        start = name.strip("/")
        own = heads(model) if name == HEADS else [one for one in every if f"{one.strip('/')}/".startswith(f"{start}/")]
        if not own:
            blocks = ", ".join(dict.fromkeys(map(block_of, every)))
            raise UserError(f"--keep_float {name}: no layer is called so, or begins so; the blocks are {blocks}")
        found.update(own)
    return [one for one in every if one in found.difference(heads(model))]


def calibrate(
    model: onnx.ModelProto,
    batches: Iterable[np.ndarray],
    *,
    threads: int = 0,
    done: Callable[[], object] = lambda: None,
) -> dict[str, tuple[float, float]]:
    """The range of every tensor that may be quantized, over batches float32 [N, 3, H, W] of any shapes.

    Raises
    ------
    UserError : a range that is not finite: the network overflows, or its weights are damaged
    """
    names = _tensors(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _watched(model, names).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    asked = [name + end for name in names for end in (_MIN, _MAX)]
    lowest, highest = np.full(len(names), np.inf, np.float32), np.full(len(names), -np.inf, np.float32)
    for batch in batches:
        found = np.array(session.run(asked, {INPUT: batch}), np.float32).reshape(-1, 2)
        lowest, highest = np.minimum(lowest, found[:, 0]), np.maximum(highest, found[:, 1])  # which keep NaN
        done()
    bounds = zip(names, lowest.tolist(), highest.tolist(), strict=True)
    ranges = {name: (low, high) for name, low, high in bounds}
    for name, found_range in ranges.items():
        if not np.isfinite(found_range).all():
            raise UserError(
                f"calibration: tensor {name} has values {found_range[0]:g} to {found_range[1]:g}, expected finite; "
                f"check the weights, and export the model again"
            )
    return ranges


def _tensors(model: onnx.ModelProto) -> list[str]:
    """What may be quantized: inputs and outputs of all nodes, but what only a ReLU reads, which goes with it."""
    constant = {tensor.name for tensor in model.graph.initializer}
    readers: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    made = [model.graph.input[0].name, *(node.output[0] for node in model.graph.node)]
    return [name for name in made if name not in constant and readers.get(name) != ["Relu"]]


def _watched(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy whose outputs are the smallest and largest values of the tensors named."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    for name in names:
        for operator, end in (("ReduceMin", _MIN), ("ReduceMax", _MAX)):
            watched.graph.node.append(helper.make_node(operator, [name], [name + end], keepdims=0))
            value = helper.make_tensor_value_info(name + end, onnx.TensorProto.FLOAT, ())
            watched.graph.output.append(value)
    return watched


def quantize(model: onnx.ModelProto, ranges: Ranges, scheme: Scheme) -> onnx.ModelProto:
    """A copy in QDQ form. Equal arguments give equal bytes."""
    # Imported here: a hundred modules that nothing else of this program needs.
    from onnxruntime.quantization import CalibrationMethod, QuantType  # noqa: PLC0415
    from onnxruntime.quantization.calibrate import TensorsData  # noqa: PLC0415
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer  # noqa: PLC0415

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    limits = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    for node in model.graph.node:  # the range before a ReLU is that behind it: the nodes are one
        if node.op_type == "Relu" and node.input[0] not in limits:
            limits[node.input[0]] = limits[node.output[0]]
    signed = scheme.target == TENSORRT
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime.quantization gives advice on the root logger
    try:
        quantizer = QDQQuantizer(
            copy,
            True,  # a scale per channel
            scheme.weight_bits == 7,
            QuantType.QInt8,
            QuantType.QInt8 if signed else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, limits),
            [],
            sorted({*heads(model), *scheme.keep_float}),
            ["Conv"] if signed else list(_QUANTIZED),
            {
                "ActivationSymmetric": signed,
                "QuantizeBias": not signed,
                "QDQOpTypePerChannelSupportToAxis": _CHANNEL_AXIS,
            }
            | ({"OpTypesToExcludeOutputQuantization": ["Conv"]} if signed else {}),
        )
        quantizer.quantize_model()
    finally:
        root.setLevel(level)
    quantizer.model.topological_sort()
    result = quantizer.model.model
    onnx.checker.check_model(result)
    return result
