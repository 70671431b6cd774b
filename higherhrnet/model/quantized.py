"""What an .onnx in INT8 is of: the record in its metadata, read without onnx and onnxruntime."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from higherhrnet.artifacts import fields
from higherhrnet.artifacts.work import QuantizedWork
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph

KEY = "quantization"
"""Of the record among the metadata."""
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Quantized:
    """An .onnx in INT8."""

    work: QuantizedWork | None
    """None of a file of another program: nothing says what it was calibrated on."""


def text(work: QuantizedWork) -> str:
    """The record as the metadata hold it."""
    return json.dumps({"format": FORMAT, "work": dataclasses.asdict(work)}, sort_keys=True)


def read(model: Path) -> Quantized | None:
    """What is known of a model; None where it is not quantized, or not an .onnx.

    Raises
    ------
    UserError : an .onnx that cannot be read, or whose record is damaged
    """
    if model.suffix != ".onnx":
        return None
    graph = onnx_graph.read(model)
    if not graph.is_quantized:
        return None
    if KEY not in graph.metadata:
        return Quantized(None)
    what, remedy = f"model {model}: its record of quantization", "make it again with higherhrnet quantize"
    try:
        value = json.loads(graph.metadata[KEY])
    except (ValueError, RecursionError) as e:
        raise UserError(f"{what} is damaged ({e}); {remedy}") from e
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UserError(f"{what}: expected format {FORMAT}; {remedy}")
    return Quantized(fields.parse(value.get("work"), QuantizedWork, what, remedy))


def pictures(model: Path) -> frozenset[str]:
    """SHA-256 of the pictures that a model was calibrated on; none where it is not quantized or does not say."""
    made = read(model)
    return frozenset() if made is None or made.work is None else frozenset(made.work.pictures)
