"""A float32 .onnx to INT8: ranges over calibration inputs, layers given back to float32, and the file's record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from higherhrnet import __version__
from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.work import QuantizedWork
from higherhrnet.errors import UserError
from higherhrnet.model import quantization, quantized
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS
from higherhrnet.model.ort import onnxruntime
from higherhrnet.stages.calibration import Calibration


def describe(model: str, chosen: Calibration, scheme: quantization.Scheme) -> QuantizedWork:
    """What quantizing would make of the model of that fingerprint."""
    return QuantizedWork(
        onnx=model,
        target=scheme.target,
        weight_bits=scheme.weight_bits,
        keep_float=sorted(scheme.keep_float),
        inputs=chosen.made,
        indices=[one.index for one in chosen.plain],
        flipped=[one.index for one in chosen.flipped],
        pictures=list(chosen.pictures),
        version=quantization.VERSION,
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )


def is_there(output: Path, work: QuantizedWork) -> bool:
    """Whether a file is there already that is of this work; never where nothing says which pictures that rests on."""
    if not work.pictures or not output.is_file():
        return False
    try:
        made = quantized.read(output)
    except UserError:
        return False
    return made is not None and made.work == work


def write(
    source: onnx.ModelProto,
    made: onnx.ModelProto,
    work: QuantizedWork,
    output: Path,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write a quantized network with the float32 one's metadata and the record of its work.

    ``check`` is called right before the file takes its place, as of atomic.writing.
    """
    kept = {entry.key: entry.value for entry in source.metadata_props}
    kept |= {"made_by": f"higherhrnet {__version__}", quantized.KEY: quantized.text(work)}
    del made.metadata_props[:]
    for key, value in sorted(kept.items()):
        made.metadata_props.add(key=key, value=value)
    atomic.make_directory(output.parent)
    atomic.write_bytes(output, made.SerializeToString(deterministic=True), check=check)


def difference(source: onnx.ModelProto, made: onnx.ModelProto, batches: Iterable[np.ndarray]) -> float:
    """The largest over batches and outputs, relative to the output's largest value; NaN where one is."""
    sessions = [session(model) for model in (source, made)]
    worst = 0.0
    for batch in batches:
        for expected, found in zip(*(one.run(OUTPUTS, {INPUT: batch}) for one in sessions), strict=True):
            relative = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
            worst = float(np.maximum(worst, relative))  # which keeps NaN
    return worst


def session(model: onnx.ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """A model of memory in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def calibrate(
    source: onnx.ModelProto, chosen: Calibration, *, threads: int = 0, done: Callable[[int], object] = lambda _: None
) -> dict[str, tuple[float, float]]:
    """The range of every tensor over the inputs chosen; ``done`` is called with numbers of inputs."""
    size = quantization.batch_of(source)
    return quantization.calibrate(source, chosen.batches(size), threads=threads, done=lambda: done(size))


def give_back(
    source: onnx.ModelProto,
    ranges: quantization.Ranges,
    scheme: quantization.Scheme,
    probe: Sequence[np.ndarray],
    reached: Callable[[quantization.Scheme], bool],
) -> quantization.Scheme:
    """Give blocks of layers back to float32, those first whose return brings the outputs nearest, until it is enough.

    Parameters
    ----------
    probe : batches that the outputs are compared with float32 on
    reached : whether a scheme is accurate enough

    Raises
    ------
    UserError : it is not even with all blocks float32: the scheme is not the reason then
    """
    if reached(scheme):
        return scheme
    expected = [session(source).run(OUTPUTS, {INPUT: batch}) for batch in probe]

    def error(kept: Sequence[str]) -> float:
        made = session(quantization.quantize(source, ranges, replace(scheme, keep_float=tuple(kept))))
        found = (made.run(OUTPUTS, {INPUT: batch}) for batch in probe)
        return sum(
            float(np.mean((a - b) ** 2) / max(float(np.mean(b**2)), 1e-30))
            for pair, wanted in zip(found, expected, strict=True)
            for a, b in zip(pair, wanted, strict=True)
        )

    blocks: dict[str, list[str]] = {}
    for layer in quantization.named(source, quantization.layers(source)):
        if layer not in scheme.keep_float:
            blocks.setdefault(quantization.block_of(layer), []).append(layer)
    by_gain = sorted(blocks, key=lambda block: (error([*scheme.keep_float, *blocks[block]]), block))
    for block in by_gain:
        scheme = replace(scheme, keep_float=(*scheme.keep_float, *blocks[block]))
        if reached(scheme):
            return scheme
    raise UserError("--max_drop: AP falls by more even with all layers float32; check that --dumps are of this model")


def count_layers(source: onnx.ModelProto, scheme: quantization.Scheme) -> tuple[int, int]:
    """How many layers with weights there are, and how many of them are quantized."""
    layers = quantization.layers(source)
    kept = {*quantization.heads(source), *scheme.keep_float}
    return len(layers), sum(layer not in kept for layer in layers)
