"""Whether an .onnx is of the network that a configuration describes, and of the checkpoint beside it."""

from __future__ import annotations

import json
from pathlib import Path

from higherhrnet.artifacts import atomic, claim
from higherhrnet.artifacts.work import differences
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph, quantized
from higherhrnet.model.architecture import Architecture

FLOAT16_OF = "float16_of"
"""Among the metadata of a model in float16: the SHA-256 of the one that it is made of."""


def check(model: Path, architecture: Architecture, config: Path) -> None:
    """Refuse an .onnx of another network: by what its exporter wrote, else by the widths of its last convolutions.

    Raises UserError: naming what differs; also for an .onnx that cannot be read.
    """
    graph = onnx_graph.read(model)
    remedy = "give the --cfg or the --model that belong together"
    if "architecture" in graph.metadata:
        found, expected = (_parsed(text, model) for text in (graph.metadata["architecture"], architecture.as_json()))
        if different := differences(found, expected):
            raise UserError(
                f"model {model} is of another network than config {config}: {claim.reasons(different[:2])}; {remedy}"
            )
        return
    widths = [(architecture.stages[-1].channels[0], "stage 4"), (architecture.deconv_channels, "the deconvolution")]
    for output, (width, where) in zip(graph.outputs, widths, strict=False):
        shape = graph.weights.get(output.name, ())
        if len(shape) == 4 and shape[1] != width:
            raise UserError(
                f"model {model} is of another network than config {config}: {shape[1]} channels instead of {width} in "
                f"{where}; {remedy}"
            )


def joints(model: Path) -> int | None:
    """The number of heatmaps of an .onnx; None where neither its outputs nor its weights say it."""
    graph = onnx_graph.read(model)
    found = []
    for output in graph.outputs:
        weights = graph.weights.get(output.name, ())
        found.append(output.shape[1] if len(output.shape) > 1 and output.shape[1] else weights[0] if weights else None)
    known = [channels for channels in found if channels is not None]
    return min(known) if len(known) == len(onnx_graph.OUTPUTS) else None  # the other has tag maps too


def weights(model: Path) -> str:
    """SHA-256 of the checkpoint that an .onnx was exported from; '' where it does not say."""
    return onnx_graph.metadata(model).get("weights_sha256", "")


def is_ours(model: Path, *, int8: bool = False) -> bool:
    """Whether this program exported an .onnx or, with ``int8``, quantized one; what it made of exports keeps theirs."""
    try:
        known = onnx_graph.metadata(model)
    except UserError:
        return False
    by_us = known.get("made_by", "").startswith("higherhrnet ")
    return by_us and (quantized.KEY in known) == int8 and FLOAT16_OF not in known


def _parsed(text: str, model: Path) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise UserError(f"model {model}: its metadata are damaged ({e}); export it again") from e


def stale(model: Path) -> str:
    """Why an .onnx is not of the checkpoint beside it any more; '' where it is, or where that cannot be told.

    The checkpoint is the one after which the guide names the export: NAME.pth for NAME_bs1_dynamic.onnx.
    """
    weights = model.with_name(model.name.rpartition("_bs")[0] + ".pth")
    made_from = onnx_graph.metadata(model).get("weights_sha256", "")
    if not made_from or not weights.is_file() or atomic.sha256(weights) == made_from:
        return ""
    return f"{weights} has changed since {model} was exported from it"
