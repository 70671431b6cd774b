"""TensorRT's trtexec: one engine for all input shapes, float16 or INT8, then a measurement of each shape.

No dumps: trtexec measures on random input. The guide's own line names an input ``image`` that does not exist, and
trtexec then times a shape that it chooses itself.

A quantized .onnx says itself what is INT8: the engine is strongly typed, with no calibration cache. What stays is then
float32. TensorRT takes zero points of 0 alone: files that higherhrnet quantize made with --target tensorrt.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from higherhrnet.artifacts import trtexec_log
from higherhrnet.backends.ascend import atc
from higherhrnet.backends.base import INT8
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph, quantized
from higherhrnet.system import processes

NAME = "trtexec"
NAME_OF_TARGET = "tensorrt"
"""What higherhrnet quantize calls it."""


def commands(
    model: Path, shapes: Sequence[tuple[int, int]], *, batch: int, device: int, folder: Path
) -> list[tuple[processes.Command, Path]]:
    """A command per shape and where its log goes; the first also builds the engine and saves it in ``folder``.

    Shapes are (H, W). min and max bound each axis on its own, so that the range holds all shapes; the engine is tuned
    for the square one, the first, as the guide measures that first.

    Raises
    ------
    UserError : an .onnx that cannot be read, not of this batch size, or quantized for CPUs
    """
    name = atc.input_name(onnx_graph.read(model), batch, model)
    precision = "--stronglyTyped" if precision_of(model) == INT8 else "--fp16"

    def dims(height: int, width: int) -> str:
        return f"{name}:{batch}x3x{height}x{width}"

    heights, widths = zip(*shapes, strict=True)
    engine = folder / f"{model.stem}_batchsize_{batch}.engine"
    profile = {
        "minShapes": dims(min(heights), min(widths)),
        "optShapes": dims(*shapes[0]),
        "maxShapes": dims(max(heights), max(widths)),
    }
    build = [f"--onnx={model}", precision, *(f"--{key}={value}" for key, value in profile.items())]
    result = []
    for i, shape in enumerate(shapes):
        source = [*build, f"--saveEngine={engine}"] if i == 0 else [f"--loadEngine={engine}"]
        arguments = (NAME, *source, f"--shapes={dims(*shape)}", f"--device={device}")
        result.append((processes.Command(arguments), trtexec_log.path(folder, batch, device, shape)))
    return result


def precision_of(model: Path) -> str:
    """What an engine of a model computes in. Raises UserError for one that TensorRT does not take."""
    found = quantized.read(model)
    if found is None:
        return "float16"
    if found.work is not None and found.work.target != NAME_OF_TARGET:
        raise UserError(
            f"model {model} is quantized for {found.work.target}, with zero points that TensorRT does not take; make "
            f"another with higherhrnet quantize --target {NAME_OF_TARGET}"
        )
    return INT8


def run(
    model: Path,
    shapes: Sequence[tuple[int, int]],
    *,
    batch: int,
    device: int,
    folder: Path,
    timeout: float | None = None,
    begins: Callable[[tuple[int, int]], object] = lambda _: None,
    done: Callable[[tuple[int, int]], object] = lambda _: None,
) -> None:
    """Measure all shapes; the logs stay in ``folder``, where artifacts.perf reads them.

    ``begins`` is called before a shape's log is written, ``done`` after.

    Raises UserError: trtexec is not on PATH, or a run that failed or measured something else.
    """
    if shutil.which(NAME) is None:
        raise UserError(
            f"{NAME} is not on PATH; install TensorRT or add its bin folder, or see the commands with --print_commands "
            f"and bring the logs here"
        )
    for (command, log), shape in zip(
        commands(model, shapes, batch=batch, device=device, folder=folder), shapes, strict=True
    ):
        begins(shape)
        outcome = processes.run(command, log=log, timeout=timeout)
        if outcome.status != 0:
            raise UserError(
                f"{NAME} {outcome.ending} at shape {shape[0]}x{shape[1]}; its last lines: {outcome.last_lines()}; all "
                f"of them: {log}"
            )
        trtexec_log.parse(log.read_text(encoding="utf-8", errors="replace"), log)
        done(shape)
