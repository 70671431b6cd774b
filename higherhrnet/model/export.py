"""From a network to a dynamic ONNX file that ATC, TensorRT and ONNX Runtime take.

Opset 11, which every CANN release accepts; only PyTorch's TorchScript-based exporter still writes it. Height and width
are dynamic on input and outputs. BatchNorm is folded here, because the exporter leaves the transposed convolution's.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from higherhrnet.artifacts import atomic
from higherhrnet.errors import UserError
from higherhrnet.model.network import HigherHRNet, fold_batch_norm
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS
from higherhrnet.model.ort import onnxruntime

OPSET = 11
GUIDE_NODES = ("Conv_1818", "Conv_1851")
"""What the guide's ATC command calls the nodes of the two outputs."""
MODELZOO_NODES = ("Conv_770", "Conv_795")
"""What that of ModelZoo's later revision calls them."""
TOLERANCE = 1e-3
"""Largest difference between ONNX Runtime and PyTorch, relative to the output's largest value, that passes."""

_TRACED_SHAPE = (256, 256)
_CHECKED_SHAPES = ((160, 224), (256, 128))  # neither is traced; odd and even multiples of 32, both ways
_DYNAMIC_BATCH = -1
_CHECKED_DYNAMIC_BATCH = 2
# All the network needs; every CANN release takes these at opset 11 (Resize: nearest with constant scales).
_OPERATORS = frozenset({"Add", "Concat", "Conv", "ConvTranspose", "Relu", "Resize"})


@dataclass(frozen=True)
class Report:
    """What an export made."""

    path: Path
    nodes: int
    difference: float
    """Largest difference from PyTorch, relative to the output's largest value, over all checked shapes."""


def export(
    network: HigherHRNet,
    path: Path,
    *,
    batch: int,
    metadata: dict[str, str] | None = None,
    output_nodes: tuple[str, str] = GUIDE_NODES,
    check: Callable[[], object] = lambda: None,
) -> Report:
    """Write the network to ``path`` and compare the file with PyTorch at two shapes that were not traced.

    Parameters
    ----------
    batch : fixed size of the first axis; -1 leaves it dynamic
    metadata : key and value pairs kept in the file
    output_nodes : names of the nodes that make the two outputs
    check : called right before the file takes its place, as of atomic.writing

    Raises UserError: a batch that is neither -1 nor positive, a path that cannot be written, or a file that would
    compute something else than the network (nothing is written then).
    """
    if batch != _DYNAMIC_BATCH and batch < 1:
        raise UserError(f"--bs {batch}: expected a positive batch size, or -1 for a dynamic one")
    model = _trace(fold_batch_norm(network), batch)
    _remove_identities(model)
    _name_nodes(model, output_nodes)
    _check_operators(model)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    difference = _compare(path, network, content, _CHECKED_DYNAMIC_BATCH if batch == _DYNAMIC_BATCH else batch)
    atomic.make_directory(path.parent)
    atomic.write_bytes(path, content, check=check)
    return Report(path, len(model.graph.node), difference)


def _trace(network: HigherHRNet, batch: int) -> onnx.ModelProto:
    axes = {INPUT: {2: "height", 3: "width"}}
    for name, divisor in zip(OUTPUTS, (4, 2), strict=True):
        axes[name] = {2: f"height/{divisor}", 3: f"width/{divisor}"}
    if batch == _DYNAMIC_BATCH:
        for named in axes.values():
            named[0] = "batch"
    traced = torch.zeros(max(batch, 1), 3, *_TRACED_SHAPE)
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter itself: no other writes opset 11
        torch.onnx.export(
            network,
            (traced,),
            buffer,  # type: ignore[arg-type]  # file objects work with this exporter
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
        )
    return onnx.load_from_string(buffer.getvalue())


def _remove_identities(model: onnx.ModelProto) -> None:
    """Let consumers read an initialiser directly where the exporter put an Identity after one it shares."""
    graph = model.graph
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    for node in graph.node:
        for i, name in enumerate(node.input):
            while name in sources:
                name = sources[name]  # noqa: PLW2901
            node.input[i] = name
    kept = [node for node in graph.node if node.op_type != "Identity"]
    del graph.node[:]
    graph.node.extend(kept)


def _name_nodes(model: onnx.ModelProto, output_nodes: tuple[str, str]) -> None:
    """Give every node a unique name without ':', so that ATC's --out_nodes can name it."""
    seen = set(output_nodes)
    guide = dict(zip((output.name for output in model.graph.output), output_nodes, strict=True))
    for i, node in enumerate(model.graph.node):
        if node.output[0] in guide:
            node.name = guide[node.output[0]]
            continue
        name = (node.name or f"{node.op_type}_{i}").replace(":", "_")
        node.name = name if name not in seen else f"{name}_{i}"
        seen.add(node.name)


def _check_operators(model: onnx.ModelProto) -> None:
    """Our own invariant: nothing in the graph that ATC may refuse. Constants become initialisers."""
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    initialisers = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in _OPERATORS:
            raise ValueError(f"node {node.name} is a {node.op_type}, expected only {', '.join(sorted(_OPERATORS))}")
        if node.op_type == "Resize":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            constant = all(name in initialisers or not name for name in node.input[1:])
            if attributes.get("mode") != b"nearest" or not constant:
                raise ValueError(f"node {node.name}: expected a nearest Resize with constant scales, got {attributes}")


def _compare(path: Path, network: HigherHRNet, content: bytes, batch: int) -> float:
    """Largest relative difference between the file and the network as it was before folding."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in _CHECKED_SHAPES:
        images = rng.standard_normal((batch, 3, *shape), dtype=np.float32)  # the spread of normalised images
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(images))
        for name, ours, theirs in zip(OUTPUTS, session.run(OUTPUTS, {INPUT: images}), expected, strict=True):
            reference = theirs.numpy()
            difference = float(np.abs(ours - reference).max() / max(np.abs(reference).max(), 1e-30))
            if not difference <= TOLERANCE:  # NaN fails too
                raise UserError(
                    f"{path}: {name} at {shape[0]}x{shape[1]}: ONNX Runtime differs from PyTorch by {difference:.3g} "
                    f"of the largest value, expected at most {TOLERANCE:g}; nothing was written; check the weights"
                )
            worst = max(worst, difference)
    return worst
